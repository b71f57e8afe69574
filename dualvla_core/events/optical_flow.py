"""Event boundaries from optical flow alone: no weights, no training, made for CPUs.

The picture's motion is described by the mean velocity in each cell of a coarse grid. A frame is a boundary as far as
the mean motion after it differs from the mean motion before it: a reach that stops, a grasped object that starts to
move, a turn. The trajectory itself sets the scale, as it does for the acceleration in DualVLA Eq. 4: a change as large
as the trajectory's mean change scores 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from dualvla_core.events.config import OpticalFlowConfig

_PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}


class OpticalFlowDetector:
    """Scores the change of the motion pattern around each frame."""

    def __init__(self, params: OpticalFlowConfig) -> None:
        self.params = params

    def score(
        self, views: Sequence[Sequence[NDArray[np.uint8]]], timestamps: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Scores ``[T]`` in [0, 1] of ``T`` RGB images of each camera; see `BoundaryDetector.score`.

        Flow is measured between sampled frames only; the frames between two samples get interpolated scores. The first
        and the last frame have no motion on one side and score 0, as does everything in a trajectory of fewer than
        three frames or without motion.
        """
        if len(timestamps) < 3:
            return np.zeros(len(timestamps), np.float32)
        window = self.params.window.within(float(timestamps[-1] - timestamps[0]))
        samples = sample_frames(timestamps, window / self.params.samples_per_window)
        clock = timestamps[samples]
        moved = np.hstack([displacements(self.params, frames, samples) for frames in views])
        motion = moved / np.diff(clock)[:, None]
        change = pattern_change(motion, max(1, round(window / float(np.median(np.diff(clock))))))
        scale = max(float(change.sum()) / max(1, len(change) - 2), self.params.noise_floor)  # the ends have no change
        return np.interp(timestamps, clock, change / (change + scale)).astype(np.float32)


def displacements(
    params: OpticalFlowConfig, frames: Sequence[NDArray[np.uint8]], samples: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Mean displacement per grid cell from each sampled frame to the next ``[S - 1, cells * 2]`` (image sides)."""
    flow_of = cv2.DISOpticalFlow.create(_PRESETS[params.preset])
    found = np.empty((len(samples) - 1, params.grid**2 * 2))
    before = _small_grey(frames[int(samples[0])], params.working_size)
    for index, sample in enumerate(samples[1:].tolist()):
        after = _small_grey(frames[sample], params.working_size)
        flow = flow_of.calc(before, after, None)  # type: ignore[call-overload]  # [h, w, 2] px
        cells = cv2.resize(flow, (params.grid, params.grid), interpolation=cv2.INTER_AREA)
        found[index] = cells.ravel() / max(after.shape)
        before = after
    return found


def flow_sequence(
    params: OpticalFlowConfig, frames: Sequence[NDArray[np.uint8]], timestamps: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Mean velocity per grid cell around every frame ``[T, cells * 2]`` (image sides per s)."""
    if len(timestamps) < 2:
        return np.zeros((len(timestamps), params.grid**2 * 2), np.float32)
    steps = displacements(params, frames, np.arange(len(timestamps))) / np.diff(timestamps)[:, None]
    padded = np.vstack([steps[:1], steps, steps[-1:]])
    return np.asarray((padded[:-1] + padded[1:]) / 2, np.float32)


def sample_frames(timestamps: NDArray[np.float64], step: float) -> NDArray[np.int64]:
    """Indices of the frames nearest to a clock of ``step`` seconds, the first frame among them, each once."""
    clock = np.arange(timestamps[0], timestamps[-1] + step / 2, step)
    right = np.searchsorted(timestamps, clock).clip(1, len(timestamps) - 1)
    left_is_nearer = clock - timestamps[right - 1] <= timestamps[right] - clock
    return np.unique(right - left_is_nearer)


def pattern_change(motion: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """How much the mean motion changes at each frame ``[T]``, given the motion ``[T - 1, D]`` between frames.

    The root mean square over ``D`` of (mean of the next ``window`` motions - mean of the last ``window`` motions). Near
    the ends, where a window holds fewer motions, the change is shrunk by the larger standard error of its mean, so that
    one noisy pair of frames cannot outweigh a full window. The first and last frame get 0.
    """
    length = len(motion) + 1
    total = np.vstack([np.zeros(motion.shape[1]), np.cumsum(motion, axis=0)])
    centre = np.arange(1, length - 1)
    start, stop = np.maximum(centre - window, 0), np.minimum(centre + window, length - 1)
    before, after = centre - start, stop - centre
    jump = (total[stop] - total[centre]) / after[:, None] - (total[centre] - total[start]) / before[:, None]
    certainty = np.sqrt(2 * before * after / ((before + after) * window))
    change = np.zeros(length)
    change[1:-1] = certainty * np.sqrt((jump**2).mean(axis=1))
    return change


def _small_grey(frame: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Luma of an RGB image, shrunk until its longer side is ``size`` px."""
    height, width = frame.shape[:2]
    scale = min(1.0, size / max(height, width))  # enlarging adds nothing that flow could see
    shape = (max(16, round(width * scale)), max(16, round(height * scale)))  # DIS needs a few patches a side
    small = cv2.resize(frame, shape, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
