"""Where the policies lie in the plane of closed-loop success and right answers; lengths in percent of the drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from dualvla_core.report.results.model import PolicyResult, Share

_LABEL_GAP = 7.0  # least distance of two labels, in percent of the plane's height


@dataclass(frozen=True)
class Point:
    """A policy with both measures; ``label_y`` keeps labels apart, ``label_left`` puts the label to the left."""

    name: str
    number: int
    x: Share
    y: Share
    label_y: float
    label_left: bool


@dataclass(frozen=True)
class Row:
    """A policy of which only success was measured: a row under the plane, on the same axis."""

    name: str
    number: int
    x: Share


@dataclass(frozen=True)
class Plane:
    """The points of the plane and the rows of the strip below it; numbers are places in the order of policies."""

    points: tuple[Point, ...]
    rows: tuple[Row, ...]


def place(policies: Sequence[PolicyResult]) -> Plane | None:
    """The plane of ``policies``; none where not one was played in closed loop."""
    played = [(number, policy, policy.success) for number, policy in enumerate(policies) if policy.success]
    if not played:
        return None
    both = [(number, policy, x, policy.accuracy) for number, policy, x in played if policy.accuracy]
    heights = apart([100 * y.value for _, _, _, y in both], _LABEL_GAP)
    points = tuple(
        Point(policy.name, number, x, y, height, label_left=x.value > 0.7)
        for (number, policy, x, y), height in zip(both, heights, strict=True)
    )
    rows = tuple(Row(policy.name, number, x) for number, policy, x in played if policy.accuracy is None)
    return Plane(points, rows)


def apart(wanted: Sequence[float], gap: float) -> list[float]:
    """Places near the wanted ones in [0, 100], at least ``gap`` from each other as far as there is room."""
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    found = list(wanted)
    for lower, upper in pairwise(order):
        found[upper] = max(found[upper], found[lower] + gap)
    excess = max((found[index] for index in order), default=0.0) - 100
    if excess > 0:
        ceiling = 100.0
        for index in reversed(order):
            found[index] = min(found[index], ceiling)
            ceiling = found[index] - gap
    return found
