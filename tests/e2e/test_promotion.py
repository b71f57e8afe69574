"""What becomes the current model on a real Prefect server: the first one, an equal one, and no regression."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from dualvla_core.evaluation.config import TrialConfig
from dualvla_core.evaluation.protocol import EvaluationProtocol
from dualvla_core.evaluation.tables import ROLLOUTS_FILE
from dualvla_core.params import Summary
from dualvla_core.pipeline_config import PipelineConfig
from flows.promote import RegressionError, current_model, promote
from infra.manifest import ArtifactRef
from infra.run_record import RunRecord, save_run
from tasks.run_rollouts import run_rollouts
from tasks.stage import Job, RunContext, Work, commit_once, open_artifacts, stage

TRIALS = 100
CONFIG = PipelineConfig(name="drawer")


@stage("distill_student", version=1)
def students(_run: RunContext, successes: int) -> Work:
    """A student that succeeds in so many of the trials."""

    def body(job: Job) -> Summary:
        (job.output / "successes").write_text(str(successes))
        return {}

    return Work(params={"successes": successes}, body=body)


@pytest.fixture
def run(tmp_path: Path, prefect_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[RunContext]:
    """A run whose rollouts are played by reading what the student says of itself."""
    declare = run_rollouts.declare

    def declared(context: RunContext, config: TrialConfig, policy: ArtifactRef, *others: object) -> Work:
        def body(job: Job) -> Summary:
            successes = int((job.store.folder(policy) / "successes").read_text())
            table = pa.table({"success": [number < successes for number in range(TRIALS)]})
            pq.write_table(table, job.output / ROLLOUTS_FILE)
            EvaluationProtocol(**TrialConfig().model_dump(), simulator="none", harness="none").write(job.output)
            return {}

        return dataclasses.replace(declare(context, config, policy, *others), body=body)

    monkeypatch.setattr(run_rollouts, "declare", declared)
    with temporary_settings({PREFECT_API_URL: prefect_environment["PREFECT_API_URL"]}):
        yield RunContext(store_uri=str(tmp_path / "store"), cache=str(tmp_path / "cache"))


def trained(run: RunContext, number: int, successes: int) -> ArtifactRef:
    """A completed training whose student succeeds so often."""
    training = run.model_copy(update={"id": f"2026010{number}-000000-train-drawer-000{number}"})
    manifest, _ = commit_once(students, training, students.declare(training, successes))
    record = RunRecord(
        id=training.id,
        flow="train",
        name="drawer",
        config=CONFIG.model_dump(mode="json"),
        host="here",
        started=f"2026-01-0{number}T00:00:00+00:00",
        state="completed",
    )
    save_run(open_artifacts(run).objects, record)
    return manifest.ref


def test_better_and_equal_models_are_promoted_and_a_regression_is_not(run: RunContext) -> None:
    store = open_artifacts(run)
    first = trained(run, 1, successes=60)
    assert promote(CONFIG, run) == first  # nothing to compare with
    slightly_worse = trained(run, 2, successes=58)
    assert promote(CONFIG, run) == slightly_worse  # the interval of -2 points holds zero
    trained(run, 3, successes=30)
    with pytest.raises(
        RegressionError, match=r"succeeds in 30\.0% .* 58\.0%.* was not promoted; `dualvla artifacts pin"
    ):
        promote(CONFIG, run)
    assert current_model(store, "drawer") == slightly_worse
    better = trained(run, 4, successes=90)
    assert promote(CONFIG, run) == better
    assert current_model(store, "drawer") == better
