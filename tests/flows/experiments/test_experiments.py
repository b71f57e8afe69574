from __future__ import annotations

import pytest
from typer.testing import CliRunner

from dualvla_core.errors import ConfigError
from dualvla_core.experiments.config import ExperimentConfig
from dualvla_core.pipeline_config import PipelineConfig
from flows.cli import app
from flows.cli.configuration import configure

experiment = pytest.importorskip("flows.experiments.experiment")


def test_a_seed_changes_the_trainings_and_nothing_else() -> None:
    base = configure("experiment-cpu", []).config
    seeded = experiment.seeded(base, 5)
    changed = seeded.model_dump()
    assert {changed["learning"][name]["seed"] for name in ("specialist", "generalist", "student")} == {5}
    assert changed["pruning"]["seed"] == 5
    assert experiment.seeded(seeded, 0) == base


def test_lengths_of_fine_tuning_are_shares_of_the_generalists() -> None:
    from flows.experiments.degeneration import lengths  # noqa: PLC0415 - needs the extras

    config = PipelineConfig(experiment=ExperimentConfig(raw_fractions=(2.0, 0.25, 1.0)))
    whole = config.learning.generalist.steps
    assert lengths(config) == {f"raw_{steps}": steps for steps in (whole // 4, whole, 2 * whole)}


def test_every_variant_is_described() -> None:
    from flows.experiments import degeneration, pruning, teachers  # noqa: PLC0415

    config = configure("experiment-cpu", []).config
    assert set(degeneration.describe(config).variants) == {"specialist", *degeneration.lengths(config), "dualvla"}
    for each in (degeneration, pruning, teachers):
        assert set(each.EXPERIMENT.references) <= set(each.describe(config).variants)


def test_an_unknown_experiment_is_named() -> None:
    found = CliRunner().invoke(app, ["experiment", "colours"])
    assert isinstance(found.exception, ConfigError)
    assert "degeneration, pruning, teachers" in str(found.exception)
