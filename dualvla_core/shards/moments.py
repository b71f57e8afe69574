"""What a shard knows of its raw actions and states, so that statistics of any subset need no frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dualvla_core.errors import ArtifactError
from dualvla_core.shards.reader import matrix

SIGNALS_MEASURED = ("action", "state")


class Moments(NamedTuple):
    """Of one signal, per dimension ``[D]``; values that are not finite are left out."""

    frames: NDArray[np.int64]
    """How many were counted."""
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]
    """Sum of squared distances from the mean."""
    minimum: NDArray[np.float64]
    """Infinite where nothing was counted, like `maximum`."""
    maximum: NDArray[np.float64]

    @property
    def std(self) -> NDArray[np.float64]:
        """Population standard deviation; NaN where nothing was counted."""
        with np.errstate(invalid="ignore"):
            return np.asarray(np.sqrt(self.squares / self.frames))


def episode_moments(frames: pa.RecordBatch) -> dict[str, Any]:
    """One row of `schemas.MOMENTS` about an episode (`schemas.SIGNALS` and more); signals it lacks are null."""
    row: dict[str, Any] = {"episode": frames.column("episode")[0].as_py()}
    for name in SIGNALS_MEASURED:
        values = matrix(frames.column(name), f"The column {name!r}")
        found = None if values is None else moments_of(values)
        row[name] = None if found is None else {key: value.tolist() for key, value in found._asdict().items()}
    return row


def moments_of(values: NDArray[np.floating[Any]]) -> Moments:
    """Moments of ``values`` ``[N, D]``."""
    finite = np.isfinite(values)
    numbers = np.where(finite, values, 0).astype(np.float64)
    frames = finite.sum(axis=0)
    mean = numbers.sum(axis=0) / np.maximum(frames, 1)
    squares = np.where(finite, (numbers - mean) ** 2, 0).sum(axis=0)
    low, high = (np.where(finite, numbers, limit) for limit in (np.inf, -np.inf))
    return Moments(frames, mean, squares, low.min(axis=0), high.max(axis=0))


def merge_moments(rows: Sequence[Mapping[str, Any]]) -> dict[str, Moments]:
    """The moments of all frames of several episodes (rows of `schemas.MOMENTS`), by signal.

    The parallel update of Chan, Golub and LeVeque (1979), exact up to rounding. Raises `ArtifactError` when a signal
    has another width in one episode than in another.
    """
    merged: dict[str, Moments] = {}
    for row in rows:
        for name in SIGNALS_MEASURED:
            if row[name] is None:
                continue
            part = Moments(*(np.asarray(row[name][key]) for key in Moments._fields))
            whole = merged.get(name, part)
            widths = len(whole.frames), len(part.frames)
            if widths[0] != widths[1]:
                raise ArtifactError(
                    f"{name.capitalize()}s have {widths[0]} dimensions in one episode and {widths[1]} in another; give "
                    "the second robot an embodiment of its own."
                )
            merged[name] = _together(whole, part) if name in merged else part
    return merged


def _together(one: Moments, other: Moments) -> Moments:
    frames = one.frames + other.frames
    share = other.frames / np.maximum(frames, 1)
    apart = other.mean - one.mean
    return Moments(
        frames,
        one.mean + apart * share,
        one.squares + other.squares + apart**2 * one.frames * share,
        np.minimum(one.minimum, other.minimum),
        np.maximum(one.maximum, other.maximum),
    )
