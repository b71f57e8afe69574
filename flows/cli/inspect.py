"""`dualvla explain` and `dualvla view`: why a frame kept its reasoning or lost it."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.table import Table

from dualvla_core.errors import ConfigError
from dualvla_core.pruning.config import Rule
from dualvla_core.schemas import DECISIONS, check_schema
from infra.settings import Settings

if TYPE_CHECKING:
    from tasks.curated_episode import CuratedEpisode

Episode = Annotated[str, typer.Argument(help="Beginning of its digest, or its number in the newest curation.")]
ByRule = Annotated[Rule | None, typer.Option("--rule", help="Decisions by this rule; else the newest that prune.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(explain)
    app.command()(view)


def explain(
    episode: Episode,
    frame: Annotated[int | None, typer.Option(help="Explain this frame, with all numbers.")] = None,
    rule: ByRule = None,
) -> None:
    """Say of an episode, or of one of its frames, what was kept and why."""
    from dualvla_core.pruning import explain_frame  # noqa: PLC0415 - what only one command needs is imported there

    found = _find(episode, rule)
    row = found.row
    path = found.folders.decisions / "decisions.parquet"
    table = pq.read_table(path, filters=[("episode", "=", row["episode"])])
    check_schema(table.schema, DECISIONS, path.name)
    decisions = table.to_pylist()
    if frame is None:
        params = found.decided.request.params
        kept = sum(decision["keep"] for decision in decisions)
        typer.echo(
            f"Episode {row['episode_index']} ({row['episode'][:12]}): {row['instruction']}\n"
            f"{kept} of {len(decisions)} frames are key-frames (rule {params['rule']}, boundary threshold "
            f"{params['boundary_threshold']:g}); `dualvla explain {episode} --frame K` tells one of them."
        )
        console = Console()
        (console if console.is_terminal else Console(width=120)).print(_spans(decisions, row["fps"]))
        return
    if not 0 <= frame < len(decisions):
        raise ConfigError(f"The episode has the frames 0 to {len(decisions) - 1}, but --frame is {frame}.")
    typer.echo(explain_frame(decisions[frame]))
    typer.echo(_reasoning(found, frame))


def view(
    episode: Episode,
    output: Annotated[Path | None, typer.Option(help="File to write; by default <digest>.rrd here.")] = None,
    rule: ByRule = None,
) -> None:
    """Write a rerun recording: video, signals, boundary curve, kept and dropped spans (needs the extra `view`)."""
    from dualvla_core.pruning.timeline import episode_timeline  # noqa: PLC0415
    from infra.visualization import write_recording  # noqa: PLC0415

    found = _find(episode, rule)
    path = output or Path(f"{found.row['episode'][:12]}.rrd")
    if not path.parent.is_dir():
        raise ConfigError(f"There is no folder {str(path.parent)!r} to write the recording into; make it first.")
    write_recording(episode_timeline(found.folders, found.row["position"]), path)
    typer.echo(f"{path}: open it with `rerun {path}`.")


def _find(episode: str, rule: Rule | None) -> CuratedEpisode:
    from flows.cli.run import run_context  # noqa: PLC0415
    from tasks.curated_episode import find_episode  # noqa: PLC0415

    return find_episode(run_context(Settings(), []), episode, rule)


def _spans(decisions: list[dict[str, Any]], fps: float) -> Table:
    """One row for each run of frames with the same verdict for the same reason."""
    table = Table("frames", "seconds", "verdict", "why", "words")
    for rule, members in groupby(decisions, key=lambda decision: decision["rule"]):
        run = list(members)
        first, last = run[0]["frame_index"], run[-1]["frame_index"]
        verdict, _, why = rule.partition(": ")
        words = sum(decision["reasoning_words"] for decision in run)
        table.add_row(
            f"{first}-{last}" if last > first else f"{first}",
            f"{first / fps:.2f}-{(last + 1) / fps:.2f}",
            f"[bold]{verdict}[/bold]" if verdict == "kept" else verdict,
            why,
            f"{words}",
        )
    return table


def _reasoning(found: CuratedEpisode, frame: int) -> str:
    from dualvla_core.episodes.reasoning import render_reasoning  # noqa: PLC0415
    from dualvla_core.episodes.segment import Segment  # noqa: PLC0415

    segment = Segment(found.folders.segment, found.folders.reasoning)
    pieces = segment.signals(found.row["position"]).column("reasoning")[frame].as_py() or ()
    return "\n".join(
        f"  {line}" for line in render_reasoning([(each["style"], each["content"]) for each in pieces]).splitlines()
    )
