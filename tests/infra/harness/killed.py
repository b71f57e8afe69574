"""A run that a test kills: ``python -m tests.infra.harness.killed JOB.json``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from dualvla_core.evaluation.config import RolloutConfig
from infra.harness import supervisor
from infra.harness.job import Crew, PolicySpec
from infra.object_store import open_store
from tasks.run_rollouts import UnfinishedRollouts

if __name__ == "__main__":
    job = json.loads(Path(sys.argv[1]).read_text())
    supervisor.BENCHMARKS["metaworld"] = "tests.infra.harness.fakes:FakeBenchmark"
    folder = Path(job["folder"])
    (folder / "output").mkdir(parents=True)
    supervisor.run_rollouts(
        RolloutConfig.model_validate(job["config"]),
        PolicySpec.model_validate(job["policy"]),
        folder / "output",
        folder,
        work=folder / "work",
        crew=Crew(players=2, servers=2),
        kept=UnfinishedRollouts(open_store(job["store"], None), "job"),
    )
