"""What an event-boundary detector is, and the ones there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dualvla_core.errors import ConfigError
from dualvla_core.events.config import EventsConfig
from dualvla_core.events.optical_flow import OpticalFlowDetector

Frame: TypeAlias = NDArray[np.uint8]
"""One RGB image ``[H, W, 3]``."""


class BoundaryDetector(Protocol):
    """Scores every frame of one trajectory for being an event boundary."""

    def score(self, frames: Sequence[Frame], timestamps: NDArray[np.float64]) -> NDArray[np.float32]:
        """Scores ``[T]`` in [0, 1] for ``T`` frames taken at ``timestamps`` ``[T]`` (s, increasing).

        ``frames`` may decode on access, so a detector touches only the frames it looks at.
        """
        ...


DETECTORS: dict[str, Callable[[EventsConfig], BoundaryDetector]] = {
    "optical_flow": lambda params: OpticalFlowDetector(params.optical_flow),
}


def create_detector(params: EventsConfig) -> BoundaryDetector:
    """The detector that ``params`` names.

    Raises `ConfigError` when there is none of that name.
    """
    if params.detector not in DETECTORS:
        raise ConfigError(f"There is no event detector {params.detector!r}; choose one of {sorted(DETECTORS)}.")
    return DETECTORS[params.detector](params)
