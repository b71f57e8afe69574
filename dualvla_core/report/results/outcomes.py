"""Every planned episode: how it began and who solved it, and how many are solved as time goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dualvla_core.evaluation.over_time import Shares, solved_over_time
from dualvla_core.evaluation.trajectory import first_images, read_rollouts
from dualvla_core.report import formats
from dualvla_core.report.context import TrainedPolicy
from dualvla_core.report.svg import HEIGHT, WIDTH, Scale, number
from dualvla_core.report.thumbnails import data_uri, shrink

_START_HEIGHT, _START_QUALITY = 72, 72  # px, JPEG


@dataclass(frozen=True)
class Player:
    """A policy that was played; ``number`` is its place among all policies."""

    name: str
    number: int


@dataclass(frozen=True)
class Start:
    """An initial condition, and by player whether it was solved; none where it was not played."""

    seed: int
    image: str
    solved: tuple[bool | None, ...]


@dataclass(frozen=True)
class TaskStarts:
    """The initial conditions of a task, by seed."""

    task: str
    starts: tuple[Start, ...]


@dataclass(frozen=True)
class SolvedCurve:
    """A player's share of solved episodes over the control steps: a path in the `svg` view box, and where it ends."""

    player: Player
    path: str
    last: str


@dataclass(frozen=True)
class SolvedPanel:
    """The curves of one task, or of all of them; the axis ends at ``steps``."""

    name: str
    steps: int
    curves: tuple[SolvedCurve, ...]


@dataclass(frozen=True)
class Outcomes:
    """Everything drawn of the planned episodes; the last player is the one the report is about."""

    players: tuple[Player, ...]
    tasks: tuple[TaskStarts, ...]
    panels: tuple[SolvedPanel, ...]


def draw_outcomes(policies: Sequence[TrainedPolicy]) -> Outcomes | None:
    """The episodes of every policy that was played; None where none was. Raises `ArtifactError` as reading does."""
    played = [
        (Player(policy.name, place), policy.rollouts)
        for place, policy in enumerate(policies)
        if policy.rollouts is not None
    ]
    if not played:
        return None
    return Outcomes(tuple(player for player, _ in played), _starts([folder for _, folder in played]), _panels(played))


def _starts(folders: Sequence[Path]) -> tuple[TaskStarts, ...]:
    images: dict[tuple[str, int], bytes] = {}
    outcomes: dict[tuple[str, int], list[bool | None]] = {}
    for place, folder in enumerate(folders):
        for row, image in zip(read_rollouts(folder).to_pylist(), first_images(folder), strict=True):
            episode = row["task"], row["seed"]
            images.setdefault(episode, image)
            outcomes.setdefault(episode, [None] * len(folders))[place] = row["success"]
    tasks: dict[str, list[Start]] = {}
    for task, seed in sorted(outcomes, key=lambda episode: episode[1]):
        thumbnail = data_uri(shrink(images[task, seed], _START_HEIGHT, _START_QUALITY))
        tasks.setdefault(task, []).append(Start(seed, thumbnail, tuple(outcomes[task, seed])))
    order = dict.fromkeys(task for task, _ in outcomes)
    return tuple(TaskStarts(task, tuple(tasks[task])) for task in order)


def _panels(played: Sequence[tuple[Player, Path]]) -> tuple[SolvedPanel, ...]:
    """All tasks first, where there are several, then each; nothing of rollouts that did not note when."""
    known = [(player, shares) for player, folder in played if (shares := solved_over_time(folder)) is not None]
    steps = max((len(each) - 1 for _, shares in known for each in shares.values()), default=0)
    tasks = dict.fromkeys(task for _, shares in known for task in shares)
    panels = [
        _panel(task, [(player, shares[task]) for player, shares in known if task in shares], steps) for task in tasks
    ]
    if len(panels) > 1:
        panels.insert(0, _panel("all tasks", [(player, _mean(shares)) for player, shares in known], steps))
    return tuple(panels)


def _mean(shares: Mapping[str, Shares]) -> Shares:
    """Over tasks, which have equally many episodes under one protocol."""
    return np.asarray(np.mean(list(shares.values()), axis=0))


def _panel(name: str, curves: Sequence[tuple[Player, Shares]], steps: int) -> SolvedPanel:
    drawn = (
        SolvedCurve(player, stairs(shares, steps), formats.percent(float(shares[-1]))) for player, shares in curves
    )
    return SolvedPanel(name, steps, tuple(drawn))


def stairs(shares: Shares, steps: int) -> str:
    """Path of shares ``[T + 1]`` that hold until the next one, over an axis of ``steps`` control steps."""
    x, y = Scale(0, steps, 0, WIDTH), Scale(0, 1, HEIGHT, 0)
    changes = np.flatnonzero(np.diff(shares)) + 1
    path = f"M0 {number(y(shares[0]))}"
    path += "".join(f"H{number(x(step))}V{number(y(shares[step]))}" for step in changes.tolist())
    return path + f"H{number(x(len(shares) - 1))}"
