"""Records demonstrations in simulation: batches of scripted-expert episodes, then one dataset of them all."""

from __future__ import annotations

from dualvla_core.params import Summary
from dualvla_core.simulation.config import CaptureConfig, RecordConfig
from infra.manifest import ArtifactRef
from infra.worker_process import run_in_process
from tasks.stage import Job, RunContext, Work, stage


def batch_seeds(config: RecordConfig, batch_episodes: int) -> list[tuple[str, tuple[int, ...]]]:
    """Each task's seeds, cut into batches; asking for more episodes adds batches at the end and changes no full one."""
    return [
        (task, tuple(config.seeds[start : start + batch_episodes]))
        for start in range(0, len(config.seeds), batch_episodes)
        for task in config.tasks
    ]


@stage("record_demonstrations", version=2)
def record_demonstrations(_run: RunContext, config: RecordConfig, task: str, seeds: tuple[int, ...]) -> Work:
    """Scripted-expert episodes of one task."""
    from dualvla_core.simulation.recording import record_batch  # noqa: PLC0415 - the simulator is an extra
    from dualvla_core.simulation.suites import suite_of  # noqa: PLC0415

    suite = suite_of(task)
    return Work(
        params={
            **config.capture.model_dump(mode="json"),
            "task": task,
            "seeds": list(seeds),
            **suite.assets([task]),
            **suite.expert,
        },
        body=lambda job: run_in_process(record_batch, config, task, seeds, job.output, progress=job.progress),
    )


@stage("assemble_demonstrations", version=2)
def assemble_demonstrations(
    _run: RunContext, config: CaptureConfig, held_out_fraction: float, batches: tuple[ArtifactRef, ...]
) -> Work:
    """One LeRobot v3.0 dataset and one multimodal set of all batches."""
    from dualvla_core.simulation.assembly import assemble_dataset  # noqa: PLC0415 - the simulator is an extra

    def body(job: Job) -> Summary:
        folders = [job.store.folder(batch) for batch in batches]
        return assemble_dataset(config, held_out_fraction, folders, job.output, job.progress)

    return Work(
        params={**config.model_dump(mode="json"), "held_out_fraction": held_out_fraction},
        inputs={"batches": batches},
        body=body,
    )
