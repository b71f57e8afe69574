# Every path is relative, so that a checkout under a folder with spaces works.
EXTRAS_DEMO := simulation,train
EXTRAS_TEST := dev,simulation,train,judge,serve,simpler
EXTRAS_SIMULATOR := simulation,train,simpler
WORKERS ?= 2
ARGS ?=
export PYTHON
# Where the CPU build of PyTorch comes from; a mirror will do.
export TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

.DEFAULT_GOAL := help
.PHONY: help demo simulator test test-slow check bench clean demo-environment test-environment

help: ## Show this list
	@echo "usage: make TARGET [PYTHON=python3.12]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile

demo: demo-environment ## Every stage, from nothing to report.html; QUICK=1 does it in small
	@.venv/bin/dualvla demo $(if $(QUICK),--quick) $(ARGS)

simulator: ## SimplerEnv: mani-skill, a Vulkan driver, assets (downloaded, or DUALVLA_SIMPLER_ASSETS=FOLDER)
	@infra/install/environment.sh $(EXTRAS_SIMULATOR)
	@infra/install/system_libraries.sh
	@.venv/bin/dualvla doctor --simulator --fix

test: check ## Check, then run the tests (ARGS="-k name" selects some)
	@.venv/bin/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow" $(ARGS)

test-slow: test-environment ## Run the tests that take long: faults and whole runs
	@.venv/bin/python -m pytest -m slow $(ARGS)

check: test-environment ## Lint, format, types and the four floors
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

bench: test-environment ## Run the benchmarks
	@for benchmark in benchmarks/*.py; do .venv/bin/python "$$benchmark" $(ARGS) || exit 1; done

clean: ## Remove the environment and caches; results stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

demo-environment:
	@infra/install/environment.sh $(EXTRAS_DEMO)
	@infra/install/system_libraries.sh

test-environment:
	@infra/install/environment.sh $(EXTRAS_TEST)
	@infra/install/system_libraries.sh
