"""`dualvla events`: make an event-boundary detector fit for use, and compare detectors."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from flows.cli.configuration import Overrides, Preset, configure
from flows.cli.run import Command, Dataset, DryRun, Embodiment, Force, dataset_options, execute_pipeline

if TYPE_CHECKING:
    from dualvla_core.pipeline_config import PipelineConfig
    from infra.manifest import ArtifactRef
    from infra.settings import Settings
    from tasks.stage import RunContext

app = typer.Typer(no_args_is_help=True, help="Train, calibrate and compare event-boundary detectors.")


@app.command()
def train(
    preset: Preset = "demo",
    dataset: Dataset = None,
    embodiment: Embodiment = None,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default
    dry_run: DryRun = False,
    force: Force = [],  # noqa: B006
) -> None:
    """Train and calibrate DDM-Net, or the detector that --set events.detector names; prints its folder.

    Labels are the phases of demonstrations recorded for this, or those of a dataset of your own, in the file that
    --set events_training.labels=FILE names.
    """
    chosen = ["events.detector=ddm_net", *overrides]
    config = configure(preset, chosen, dataset_options(dataset, embodiment)).config
    execute_pipeline(PIPELINES["train-events"], config, dry_run=dry_run, force=force)


@app.command()
def compare(
    preset: Preset = "demo",
    dataset: Dataset = None,
    embodiment: Embodiment = None,
    overrides: Overrides = [],  # noqa: B006
    dry_run: DryRun = False,
    force: Force = [],  # noqa: B006
) -> None:
    """F1 of every detector and of baselines on held-out episodes and held-out tasks, with 95 % intervals."""
    config = configure(preset, overrides, dataset_options(dataset, embodiment)).config
    execute_pipeline(PIPELINES["compare-events"], config, dry_run=dry_run, force=force)


def tell_detector(run: RunContext, config: PipelineConfig, settings: Settings, parts: tuple[ArtifactRef, ...]) -> None:
    """Copy the detector to where people look for it; how well it was calibrated, and its folder."""
    from tasks.calibrate_event_detector import export_detector  # noqa: PLC0415

    destination = settings.root / "detectors" / f"{config.name}-{config.events.detector}"
    found, folder = export_detector(run, list(parts), destination)
    chosen = [f"events.detector={found.detector}", f"events.trained={folder}"]
    if config.events.cameras:
        chosen.append(f"events.cameras=[{', '.join(config.events.cameras)}]")
    typer.echo(
        f"{found.detector}: F1 {found.f1:.3f} within {found.tolerance_frames} frames on {found.episodes} calibration "
        f"episodes, threshold {found.threshold:g}. Use it with "
        f"{' '.join(f'--set {shlex.quote(each)}' for each in chosen)}\n{folder}"
    )


def tell_comparison(run: RunContext, _config: PipelineConfig, _settings: Settings, compared: ArtifactRef) -> None:
    """The table of detectors, a line each, and by how much each is ahead of baselines and references."""
    from tasks.stage import open_artifacts  # noqa: PLC0415

    folder = open_artifacts(run).folder(compared)
    table: dict[str, Any] = json.loads(Path(folder / "comparison.json").read_text())
    lines = [f"  {'group':<18} {'tolerance':<10} {'detector':<18} {'F1 (95 % interval)':<22} precision  recall"]
    for row in table["comparisons"]:
        interval = f"{row['f1']:.3f} ({row['f1_low']:.3f}-{row['f1_high']:.3f})"
        lines.append(
            f"  {row['group']:<18} ±{row['tolerance']:<9} {row['detector']:<18} {interval:<22} "
            f"{row['precision']:<10.3f} {row['recall']:.3f}"
        )
    widest = max(row["tolerance"] for row in table["margins"])
    for row in (row for row in table["margins"] if row["tolerance"] == widest):
        lines.append(
            f"  {row['group']:<18} ±{row['tolerance']:<9} {row['detector']} minus {row['other']} "
            f"{row['value']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
        )
    lines.append(f"  {folder / 'comparison.json'} holds the other margins, too.")
    typer.echo("\n".join(lines))


PIPELINES = {
    "train-events": Command("flows.events", "train_events", tell_detector),
    "compare-events": Command("flows.events", "compare_events", tell_comparison),
}
"""The flows of event detectors, by name."""
