"""Raw actions and states to [-1, 1] and back, by the 1 % and 99 % quantiles of the training data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from dualvla_core.errors import ArtifactError

_EPSILON = 1e-8


def statistics_of(statistics: Mapping[str, Any], embodiment: str) -> Mapping[str, Any]:
    """The entry of ``embodiment`` in a ``statistics.json``. Raises `ArtifactError` when there is none."""
    if embodiment not in statistics:
        raise ArtifactError(
            f"The statistics describe {sorted(statistics)}, not {embodiment!r}; use those of the same robot."
        )
    entry: Mapping[str, Any] = statistics[embodiment]
    return entry


class Normaliser:
    """The quantile normalisation of one signal with ``D`` dimensions.

    Dimensions outside the mask (grippers) pass unchanged; those that never vary become 0. It works in float32 on the
    CPU and is no module, so that casting or moving a policy leaves it exact.
    """

    def __init__(self, statistics: Mapping[str, Any], signal: Literal["action", "state"]) -> None:
        """``statistics``: one embodiment's, see `compute_statistics`.

        Raises `ArtifactError` when there is no such signal, or one of its dimensions was never finite.
        """
        if signal not in statistics:
            raise ArtifactError(
                f"The statistics have no {signal}; choose demonstrations with one"
                + ("." if signal == "action" else ", or set use_state to false.")
            )
        numbers = statistics[signal]
        if any(value is None for name in ("q01", "q99", "min", "max") for value in numbers[name]):
            raise ArtifactError(
                f"A dimension of the {signal} has no finite value in the training data; leave it out of the dataset."
            )
        self._q01, self._q99, self._min, self._max = (
            torch.tensor(numbers[name], dtype=torch.float32) for name in ("q01", "q99", "min", "max")
        )
        self._mask = torch.tensor(numbers["mask"])
        self._constant = (self._min == self._max) & self._mask

    @property
    def size(self) -> int:
        """The number of dimensions ``D``."""
        return len(self._q01)

    def check_unit_range(self) -> None:
        """Raise `ArtifactError` when a dimension that passes unchanged leaves [-1, 1]: bins would clip it."""
        outside = ~self._mask & ((self._min < -1) | (self._max > 1))
        if outside.any():
            index = int(outside.nonzero()[0])
            raise ArtifactError(
                f"Dimension {index} of the action is not normalised and goes from {self._min[index]:g} to "
                f"{self._max[index]:g}, but a discrete action head covers -1 to 1; use the flow head."
            )

    def normalise(self, raw: Tensor) -> Tensor:
        """``[..., D]`` raw to clip(2 (x - q01) / (q99 - q01) - 1, -1, 1)."""
        scaled = (2 * (raw - self._q01) / (self._q99 - self._q01 + _EPSILON) - 1).clamp(-1, 1)
        return torch.where(self._mask, scaled, raw).masked_fill(self._constant, 0)

    def unnormalise(self, normalised: Tensor) -> Tensor:
        """``[..., D]`` back to raw units, never outside what was demonstrated."""
        raw = (normalised.clamp(-1, 1) + 1) / 2 * (self._q99 - self._q01) + self._q01
        raw = torch.where(self._mask, raw, normalised.clamp(self._min, self._max))
        return torch.where(self._constant, self._min, raw)
