"""Records demonstrations in simulation: batches of scripted-expert episodes, then one dataset of them all."""

from __future__ import annotations

from dualvla_core.params import Summary
from dualvla_core.simulation.config import CaptureConfig, RecordConfig
from infra.manifest import ArtifactRef
from infra.worker_process import run_in_process
from tasks.progress import tell
from tasks.stage import Job, RunContext, Work, stage

_ENOUGH = 0.75  # share of attempts; below, a person is told


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

    def body(job: Job) -> Summary:
        summary = run_in_process(record_batch, config, task, seeds, job.output, progress=job.progress)
        if said := shortfall(task, summary, config.max_steps):
            tell(said)
        return summary

    suite = suite_of(task)
    return Work(
        params={
            **config.capture.model_dump(mode="json"),
            "task": task,
            "seeds": list(seeds),
            **suite.assets([task]),
            **suite.expert,
        },
        body=body,
    )


def shortfall(task: str, summary: Summary, max_steps: int) -> str | None:
    """What to tell a person where the expert solved less than three attempts in four, else nothing."""
    solved, attempts = int(summary["episodes"]), int(summary["attempts"])
    if solved >= _ENOUGH * attempts:
        return None
    return (
        f"The expert solved {solved} of {attempts} attempts at {task} within {max_steps} steps; raise record.max_steps "
        "where that is too little, or ask for more episodes."
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
