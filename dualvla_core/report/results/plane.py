"""Where the policies lie in the plane of closed-loop success and right answers; lengths in percent of the drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dualvla_core.report import svg
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
    heights = svg.apart([100 * y.value for _, _, _, y in both], _LABEL_GAP, 100)
    points = tuple(
        Point(policy.name, number, x, y, height, label_left=x.value > 0.7)
        for (number, policy, x, y), height in zip(both, heights, strict=True)
    )
    rows = tuple(Row(policy.name, number, x) for number, policy, x in played if policy.accuracy is None)
    return Plane(points, rows)
