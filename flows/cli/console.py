"""What a run looks like in a terminal: a bar per stage, or a line per stage where there is no terminal."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from tasks.stage import PlanLine


@dataclass
class StageCount:
    """What is known of one stage in this run."""

    submitted: int = 0
    executed: int = 0
    hits: int = 0
    shares: dict[str, float] = field(default_factory=dict)
    bar: TaskID | None = None

    @property
    def done(self) -> float:
        """Finished pieces of work, and the finished share of the others."""
        return self.executed + self.hits + sum(self.shares.values())


class RunConsole:
    """A `ProgressListener` that draws; counts per stage what was executed and what was committed before."""

    def __init__(self) -> None:
        self.console = Console()
        self.counts: dict[str, StageCount] = {}
        self._lock = threading.Lock()
        self._progress = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )

    def __enter__(self) -> RunConsole:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def submitted(self, stage: str) -> None:
        """A stage was given a piece of work."""
        with self._lock:
            count = self.counts.setdefault(stage, StageCount())
            count.submitted += 1
            if count.bar is None:
                count.bar = self._progress.add_task(stage, total=1, note="")
            self._draw(count)

    def advanced(self, stage: str, piece: str, done: int, total: int) -> None:
        """A piece of work has done ``done`` of ``total``."""
        with self._lock:
            count = self.counts[stage]
            count.shares[piece] = min(done / max(total, 1), 1.0)
            self._draw(count)

    def finished(self, stage: str, piece: str, hit: bool) -> None:
        """A piece of work is committed."""
        with self._lock:
            count = self.counts[stage]
            count.shares.pop(piece, None)
            count.hits += hit
            count.executed += not hit
            self._draw(count)
            if count.hits + count.executed == count.submitted and not self.console.is_terminal:
                self.console.print(f"{stage}: {describe(count.executed, count.hits)}", highlight=False)

    def told(self, sentence: str) -> None:
        """A sentence for the person who waits."""
        self.console.print(sentence, highlight=False)

    def _draw(self, count: StageCount) -> None:
        if count.bar is not None:
            note = f"{count.hits} cached" if count.hits else ""
            self._progress.update(count.bar, completed=count.done, total=count.submitted, note=note)


def describe(executed: int, hits: int) -> str:
    """How a stage's work was done, in words."""
    total = executed + hits
    if not executed:
        return f"cached ({hits} of {total})"
    return f"executed {executed} of {total}" + (f", {hits} cached" if hits else "")


def plan_table(lines: list[PlanLine]) -> Table:
    """A dry run as a table: hit or miss per piece of work, and why."""
    table = Table("stage", "work", "result", Column("why", overflow="fold"))
    for line in lines:
        table.add_row(line.stage, line.label, "hit" if line.hit else "miss", line.reason)
    return table
