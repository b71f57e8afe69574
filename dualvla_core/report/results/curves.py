"""Loss curves: one small panel per term and policy, the same term on the same axis for all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dualvla_core.errors import ArtifactError
from dualvla_core.report import svg
from dualvla_core.report.context import TrainedPolicy
from dualvla_core.report.formats import significant
from dualvla_core.report.svg import HEIGHT, WIDTH, Floats, Scale
from dualvla_core.training.metrics import METRICS_FILE

_NO_LOSS = {"step", "domain", "gradient_norm", "learning_rate"}
_COLUMNS = 300  # of a panel a few hundred pixels wide
_WINDOWS = 25  # smoothing windows per curve
_DECADE = 10.0  # an axis that spans more than this is logarithmic


@dataclass(frozen=True)
class Term:
    """One loss term of one policy over the steps ``[N]`` it was measured at."""

    domain: str
    name: str
    steps: Floats
    values: Floats


@dataclass(frozen=True)
class CurvePanel:
    """A drawn term; the axis runs from ``low`` to ``high``, ``last`` is where the smoothed curve ends."""

    domain: str
    name: str
    raw: str
    smooth: str
    low: str
    high: str
    last: str
    logarithmic: bool


@dataclass(frozen=True)
class PolicyCurves:
    """The panels of a policy."""

    name: str
    number: int
    steps: int
    panels: tuple[CurvePanel, ...]


def draw_curves(policies: Sequence[TrainedPolicy]) -> tuple[PolicyCurves, ...]:
    """The panels of every policy. Raises `ArtifactError` where the record of a training cannot be read."""
    terms = [read_terms(policy.checkpoint) for policy in policies]
    axes = {(term.domain, term.name): np.empty(0) for found in terms for term in found}
    for term in (term for found in terms for term in found):
        axes[term.domain, term.name] = np.concatenate((axes[term.domain, term.name], term.values))
    return tuple(
        PolicyCurves(
            policy.name,
            number,
            policy.config.steps,
            tuple(_panel(term, axes[term.domain, term.name], policy.config.steps) for term in found),
        )
        for number, (policy, found) in enumerate(zip(policies, terms, strict=True))
    )


def read_terms(checkpoint: Path) -> tuple[Term, ...]:
    """Every loss term of ``metrics.jsonl``, robot steps first. Raises `ArtifactError` if it cannot be read."""
    path = checkpoint / METRICS_FILE
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            for name in entry.keys() - _NO_LOSS:
                found.setdefault((entry["domain"], name), []).append((entry["step"], entry[name]))
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(f"{path.name} of {checkpoint.name!r} cannot be read; train the policy again.") from error
    terms = []
    for (domain, name), points in found.items():
        steps, values = np.array(points, np.float64).T
        terms.append(Term(domain, name, steps, values))
    return tuple(sorted(terms, key=lambda term: (term.domain != "robot", term.name != "loss", term.name)))


def smoothed(values: Floats) -> Floats:
    """Centred moving mean over a 25th of the curve ``[N]``; at its ends over the part of the window that exists."""
    half = len(values) // _WINDOWS // 2
    total = np.concatenate(([0.0], np.cumsum(values)))
    place = np.arange(len(values))
    start, stop = np.maximum(place - half, 0), np.minimum(place + half + 1, len(values))
    return np.asarray((total[stop] - total[start]) / (stop - start))


def _panel(term: Term, axis: Floats, steps: int) -> CurvePanel:
    low, high = float(axis.min()), float(axis.max())
    logarithmic = low > 0 and high / low > _DECADE
    if not logarithmic:
        low = min(low, 0.0)
    ends = (float(np.log10(low)), float(np.log10(high))) if logarithmic else (low, high)
    y = Scale(ends[0], ends[1], HEIGHT, 0)

    def path(values: Floats) -> str:
        xs, ys = svg.envelope(term.steps, np.log10(values) if logarithmic else values, _COLUMNS)
        return svg.polyline(xs, ys, Scale(0, steps, 0, WIDTH), y)

    smooth = smoothed(term.values)
    return CurvePanel(
        domain=term.domain,
        name=term.name,
        raw=path(term.values),
        smooth=path(smooth),
        low=significant(low, 2),
        high=significant(high, 2),
        last=significant(float(smooth[-1]), 3),
        logarithmic=logarithmic,
    )
