"""The lineage as a drawing: one box per stage, in layers from the demonstrations down to the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from dualvla_core.report.model import StageNode
from dualvla_core.report.svg import number

_BOX_HEIGHT = 46.0
_CHARACTER, _PADDING = 7.8, 24.0  # wide enough for the stage names in any system font
_GAP, _LAYER = 20.0, 82.0
_BEND_WIDTH = 12.0  # what a passing edge takes of a layer it does not stop at


@dataclass(frozen=True)
class Box:
    """A stage; ``left`` and ``top`` in pixels of the drawing."""

    stage: str
    left: float
    top: float
    artifacts: int
    key: str  # of its only artifact; empty where there are several


@dataclass(frozen=True)
class LineageDrawing:
    """Boxes and edge paths with the size of the drawing in pixels."""

    width: float
    height: float
    box_width: float
    box_height: float
    boxes: tuple[Box, ...]
    edges: tuple[str, ...]


def draw_lineage(nodes: Sequence[StageNode]) -> LineageDrawing:
    """Lay out the stages of ``nodes``: layer by longest path, order by barycentre, edges routed past other boxes."""
    stages = list(dict.fromkeys(node.stage for node in nodes))
    edges_drawn = without_implied(stage_edges(nodes))
    layer = _layers(stages, edges_drawn)
    rows, links = _with_bends(stages, edges_drawn, layer)
    _order(rows, links)
    box_width = max((len(stage) * _CHARACTER + _PADDING for stage in stages), default=0.0)
    centre, width = _place(rows, box_width)
    boxes = []
    for stage in stages:
        own = [node for node in nodes if node.stage == stage]
        left, top = centre[stage] - box_width / 2, layer[stage] * _LAYER
        boxes.append(Box(stage, left, top, len(own), own[0].key if len(own) == 1 else ""))
    depth = {name: index for index, row in enumerate(rows) for name in row}
    edges = tuple(_edge(upper, lower, centre, depth) for upper, lower in links)
    height = (len(rows) - 1) * _LAYER + _BOX_HEIGHT if rows else 0.0
    return LineageDrawing(width, height, box_width, _BOX_HEIGHT, tuple(boxes), edges)


def stage_edges(nodes: Sequence[StageNode]) -> list[tuple[str, str]]:
    """Distinct ``(from, to)`` pairs of stages whose artifacts follow from one another."""
    stage_of = {node.key: node.stage for node in nodes}
    pairs = [(stage_of[key], node.stage) for node in nodes for key in node.inputs if key in stage_of]
    return [pair for pair in dict.fromkeys(pairs) if pair[0] != pair[1]]


def without_implied(edges: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The transitive reduction: edges ``(from, to)`` whose end is not also reached by a longer way."""
    after: dict[str, list[str]] = {}
    for upper, lower in edges:
        after.setdefault(upper, []).append(lower)

    def reaches(start: str, goal: str) -> bool:
        waiting, seen = list(after.get(start, ())), {start}
        while waiting:
            name = waiting.pop()
            if name == goal:
                return True
            if name not in seen:
                seen.add(name)
                waiting.extend(after.get(name, ()))
        return False

    return [(a, b) for a, b in edges if not any(reaches(other, b) for other in after[a] if other != b)]


def _layers(stages: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Longest path from a source, so every edge runs downwards; a cycle among stages ends after as many rounds."""
    layer = dict.fromkeys(stages, 0)
    for _ in stages:
        for upper, lower in edges:
            layer[lower] = min(max(layer[lower], layer[upper] + 1), len(stages))
    return layer


def _with_bends(
    stages: Sequence[str], edges: Sequence[tuple[str, str]], layer: dict[str, int]
) -> tuple[list[list[str]], list[tuple[str, str]]]:
    """Rows of names per layer, and links between neighbouring rows; a long edge gets a bend in each row it passes."""
    rows: list[list[str]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for stage in stages:
        rows[layer[stage]].append(stage)
    links = []
    for upper, lower in edges:
        previous = upper
        for depth in range(layer[upper] + 1, layer[lower]):
            bend = f"{upper}\n{lower}\n{depth}"  # no stage name holds a line break
            rows[depth].append(bend)
            links.append((previous, bend))
            previous = bend
        links.append((previous, lower))
    return rows, links


def _order(rows: list[list[str]], links: Sequence[tuple[str, str]]) -> None:
    """Sort each row by the mean place of its neighbours in the row above, then of those below."""
    for upwards in (False, True, False):
        for row, other in _neighbours(rows, upwards):
            place = {name: index - len(other) / 2 for index, name in enumerate(other)}
            wanted = {}
            for index, name in enumerate(row):
                near = [place[a if b == name else b] for a, b in links if name in (a, b) and (a in place or b in place)]
                wanted[name] = fmean(near) if near else index - len(row) / 2
            row.sort(key=wanted.__getitem__)


def _neighbours(rows: list[list[str]], upwards: bool) -> list[tuple[list[str], list[str]]]:
    pairs = list(zip(rows[1:], rows[:-1], strict=True))
    return [(upper, lower) for lower, upper in reversed(pairs)] if upwards else pairs


def _place(rows: Sequence[Sequence[str]], box_width: float) -> tuple[dict[str, float], float]:
    """Centre of every name, rows centred on the widest one, and the width of that."""

    def span(name: str) -> float:
        return _BEND_WIDTH if "\n" in name else box_width

    widths = [sum(span(name) for name in row) + _GAP * (len(row) - 1) for row in rows]
    widest = max(widths, default=0.0)
    centre: dict[str, float] = {}
    for row, width in zip(rows, widths, strict=True):
        left = (widest - width) / 2
        for name in row:
            centre[name] = left + span(name) / 2
            left += span(name) + _GAP
    return centre, widest


def _edge(upper: str, lower: str, centre: dict[str, float], depth: dict[str, int]) -> str:
    """A smooth path between two neighbouring rows; it crosses the whole height of a bend."""
    start = depth[upper] * _LAYER + _BOX_HEIGHT
    stop = depth[lower] * _LAYER
    middle = number((start + stop) / 2)
    path = f"M{number(centre[upper])} {number(start)}C{number(centre[upper])} {middle} "
    path += f"{number(centre[lower])} {middle} {number(centre[lower])} {number(stop)}"
    return path + (f"v{number(_BOX_HEIGHT)}" if "\n" in lower else "")
