"""How far two raters agree, beyond what chance and base rates would give."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from dualvla_core.errors import DependencyError
from dualvla_core.vla_score.config import BootstrapConfig
from dualvla_core.vla_score.judge import DIMENSIONS
from dualvla_core.vla_score.ratings import GRADES, Ratings, RatingsError
from dualvla_core.vla_score.validation import AgreementReport, DimensionAgreement

try:
    from scipy.stats import kendalltau, spearmanr
except ImportError as error:
    raise DependencyError(
        f"Agreement needs scipy ({error}): install the extra with `pip install 'dualvla[judge]'`."
    ) from error

_SQUARES = np.subtract.outer(np.arange(11.0), np.arange(11.0)) ** 2

Floats: TypeAlias = npt.NDArray[np.float64]

Pairs: TypeAlias = npt.NDArray[np.int64]
"""``[N, 2]``: the grades of the judge and of the other rater, 0 to 10."""


def agree(pairs: Pairs, bootstrap: BootstrapConfig) -> DimensionAgreement:
    """Every statistic of one dimension, with percentile intervals of a bootstrap over trajectories."""
    random = np.random.default_rng(bootstrap.seed)
    draws = pairs[random.integers(0, len(pairs), (bootstrap.samples, len(pairs)))]
    both, sampled = tables(pairs[None]), tables(draws)
    ends = {
        f"{name}{end}": value
        for name, statistic in (("kappa", kappa), ("alpha", alpha), ("difference", difference))
        for end, value in zip(("_low", "_high"), _interval(statistic(sampled), bootstrap), strict=True)
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a correlation is undefined for constant ratings: NaN says so
        spearman, kendall = (test(pairs[:, 0], pairs[:, 1]).statistic for test in (spearmanr, kendalltau))
    return DimensionAgreement(
        trajectories=len(pairs),
        kappa=_defined(kappa(both)[0]),
        alpha=_defined(alpha(both)[0]),
        spearman=_defined(spearman),
        kendall=_defined(kendall),
        difference=float(difference(both)[0]),
        bias=float((pairs[:, 0] - pairs[:, 1]).mean()),
        judge_counts=_counts(pairs[:, 0]),
        other_counts=_counts(pairs[:, 1]),
        **ends,
    )


def tables(pairs: npt.NDArray[np.int64]) -> Floats:
    """Contingency tables ``[S, 11, 11]`` (judge by other) of ``[S, N, 2]`` grades; all statistics follow from them."""
    count = len(GRADES)
    cells = pairs[..., 0] * count + pairs[..., 1] + count**2 * np.arange(len(pairs))[:, None]
    return np.bincount(cells.ravel(), minlength=len(pairs) * count**2).reshape(-1, count, count).astype(np.float64)


def kappa(tables: Floats) -> Floats:
    """Cohen's kappa with quadratic weights (Cohen 1968) of each table ``[S]``."""
    expected = tables.sum(axis=2)[:, :, None] * tables.sum(axis=1)[:, None, :] / tables.sum(axis=(1, 2))[:, None, None]
    return _chance_corrected((tables * _SQUARES).sum(axis=(1, 2)), (expected * _SQUARES).sum(axis=(1, 2)))


def alpha(tables: Floats) -> Floats:
    """Krippendorff's alpha for ordinal data of two raters (Krippendorff 2011) of each table ``[S]``."""
    coincidences = tables + tables.transpose(0, 2, 1)
    counts = coincidences.sum(axis=2)
    ranks = counts.cumsum(axis=1) - counts / 2  # mid-ranks: the ordinal distance is the difference between them
    distances = (ranks[:, :, None] - ranks[:, None, :]) ** 2
    chance = counts[:, :, None] * counts[:, None, :] / (counts.sum(axis=1) - 1)[:, None, None]
    return _chance_corrected((coincidences * distances).sum(axis=(1, 2)), (chance * distances).sum(axis=(1, 2)))


def difference(tables: Floats) -> Floats:
    """Mean absolute difference (points) of each table ``[S]``."""
    share: Floats = (tables * np.sqrt(_SQUARES)).sum(axis=(1, 2)) / tables.sum(axis=(1, 2))
    return share


def _chance_corrected(observed: Floats, expected: Floats) -> Floats:
    """One minus observed over expected disagreement; NaN where chance would not disagree either."""
    ratio: Floats = np.divide(observed, expected, out=np.full(len(observed), np.nan), where=expected > 0)
    return 1 - ratio


def compare_ratings(
    judge: tuple[str, Ratings],
    other: tuple[str, Ratings],
    against: Literal["human", "judge"],
    bootstrap: BootstrapConfig,
    disagreement: float | None = None,
) -> AgreementReport:
    """Agreement per dimension over the trajectories both rated.

    Raises:
        RatingsError: when they share none.
    """
    shared = [name for name in judge[1] if name in other[1]]
    if not shared:
        raise RatingsError(
            f"The two raters share none of their {len(judge[1])} and {len(other[1])} trajectories; rate the same ones."
        )
    dimensions = {}
    for name in DIMENSIONS:
        pairs = [
            (judge[1][key][name], other[1][key][name])
            for key in shared
            if name in judge[1][key].keys() & other[1][key].keys()
        ]
        if pairs:
            dimensions[name] = agree(np.array(pairs, np.int64), bootstrap)
    return AgreementReport(
        judge=judge[0],
        other=other[0],
        against=against,
        dimensions=dimensions,
        disagreement=disagreement,
        unmatched=len(judge[1].keys() ^ other[1].keys()),
    )


def ratings_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """The ratings in the rows of a verdict table; missing verdicts are no ratings."""
    return {
        row["trajectory"]: {name: row[name] for name in DIMENSIONS if row[name] is not None}
        for row in rows
        if row["missing"] is None
    }


def _interval(values: Floats, bootstrap: BootstrapConfig) -> tuple[float | None, float | None]:
    """The percentile interval over the draws in which a statistic is defined; None where it is in none."""
    if np.isnan(values).all():
        return None, None
    tail = (1 - bootstrap.confidence) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _counts(grades: npt.NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(np.bincount(grades, minlength=len(GRADES)).tolist())
