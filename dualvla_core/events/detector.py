"""What an event-boundary detector is, and the ones there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dualvla_core.errors import ConfigError, DependencyError
from dualvla_core.events.config import DetectorName, EventsConfig
from dualvla_core.events.optical_flow import OpticalFlowDetector

Frame: TypeAlias = NDArray[np.uint8]
"""One RGB image ``[H, W, 3]``."""


class BoundaryDetector(Protocol):
    """Scores every frame of one trajectory for being an event boundary."""

    def score(self, views: Sequence[Sequence[Frame]], timestamps: NDArray[np.float64]) -> NDArray[np.float32]:
        """Scores ``[T]`` in [0, 1] for ``T`` frames of each camera, taken at ``timestamps`` ``[T]`` (s, increasing).

        ``views`` holds one camera's frames after another's, at least one's. They may decode on access, so a detector
        touches only the frames it looks at.
        """
        ...


def _optical_flow(params: EventsConfig, _trained: Path | None) -> BoundaryDetector:
    return OpticalFlowDetector(params.optical_flow)


def _novelty(params: EventsConfig, _trained: Path | None) -> BoundaryDetector:
    require_torch("novelty")
    from dualvla_core.events.novelty import NoveltyDetector  # noqa: PLC0415 - torch is an extra

    return NoveltyDetector(params.novelty)


def _ddm_net(params: EventsConfig, trained: Path | None) -> BoundaryDetector:
    folder = _trained("ddm_net", trained)
    from dualvla_core.events.ddm_detector import DDMNetDetector  # noqa: PLC0415 - torch is an extra

    detector = DDMNetDetector(folder)
    _check_cameras(folder, detector.description.cameras, params.cameras)
    return detector


def _motion_net(params: EventsConfig, trained: Path | None) -> BoundaryDetector:
    folder = _trained("motion_net", trained)
    from dualvla_core.events.motion_net import MotionNetDetector  # noqa: PLC0415 - torch is an extra

    detector = MotionNetDetector(folder)
    _check_cameras(folder, detector.description.cameras, params.cameras)
    return detector


def _trained(detector: DetectorName, folder: Path | None) -> Path:
    require_torch(detector)
    if folder is None:
        raise ConfigError(
            f"The event detector {detector!r} has to be trained; run `dualvla events train --set "
            f"events.detector={detector}` and name the folder it prints as events.trained."
        )
    return folder


def _check_cameras(folder: Path, learned: tuple[str, ...], asked: tuple[str, ...]) -> None:
    if learned != asked:
        raise ConfigError(
            f"The detector in {folder} was trained on {', '.join(learned) or 'the camera that comes first'}; set "
            f"events.cameras to [{', '.join(learned)}], or train one on {', '.join(asked) or 'the first camera'}."
        )


DETECTORS: dict[DetectorName, Callable[[EventsConfig, Path | None], BoundaryDetector]] = {
    "optical_flow": _optical_flow,
    "novelty": _novelty,
    "ddm_net": _ddm_net,
    "motion_net": _motion_net,
}
"""Each detector's factory; ``trained`` is the folder of a trained one, which those of `config.TRAINED` need."""


def create_detector(params: EventsConfig, trained: Path | None = None) -> BoundaryDetector:
    """The detector that ``params`` names, with the weights in the folder ``trained`` if it is one that is trained.

    Raises `ConfigError` when a trained detector is wanted and not given, `DependencyError` when its packages are not
    installed.
    """
    return DETECTORS[params.detector](params, trained)


def require_torch(detector: str) -> None:
    """Raises `DependencyError` where torch is not installed."""
    if find_spec("torch") is None:
        raise DependencyError(
            f"The event detector {detector!r} needs torch, which is not installed; run `make train-environment`, or "
            "choose optical_flow."
        )
