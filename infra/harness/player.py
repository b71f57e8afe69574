"""A shard of ``vla-eval`` that ends with the supervisor; run as ``python -m infra.harness.player ARGUMENTS``."""
# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import sys

from vla_eval.cli.main import main

from infra.harness.parent import end_with_parent

if __name__ == "__main__":
    end_with_parent()
    sys.exit(main())
