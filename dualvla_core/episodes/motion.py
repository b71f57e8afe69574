"""Move primitives: what a hand is about to do, in words, from its poses alone.

The vocabulary is small: six directions, two tilts, two turns, opening and closing the gripper, and holding still. It is
the kind of text that VLA-IT holds per frame (paper of the base model, section 3.3), derived from kinematics with
thresholds in metres, radians and seconds, so that it reads alike at every frame rate.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dualvla_core.episodes.config import AnnotateConfig
from dualvla_core.episodes.embodiment import Direction, Embodiment

_OPPOSITE: dict[Direction, Direction] = {
    "forward": "backward",
    "backward": "forward",
    "left": "right",
    "right": "left",
    "up": "down",
    "down": "up",
}
STILL = "hold still"

Floats = npt.NDArray[np.float64]


def motion_texts(
    params: AnnotateConfig, poses: Floats, gripper: Floats | None, times: Floats, embodiment: Embodiment
) -> list[str]:
    """The motion at each of T frames, such as ``Move forward and left, close the gripper.``

    What is named is the change from a frame to the one ``window_s`` later. A new text replaces the old one only once it
    holds for ``shortest_s``.

    Args:
        params: window and thresholds.
        poses: ``[T, 6 A]``, of each of A arms position (m) and roll pitch yaw (rad).
        gripper: ``[T, G]`` openings of those arms that have one, 0 closed to 1 open; None without.
        times: ``[T]`` seconds, ascending.
        embodiment: names the arms and the directions of their axes.
    """
    ahead = np.clip(np.searchsorted(times, times + params.window_s - 1e-9), 0, len(times) - 1)
    texts = [""] * len(times)
    grippers = iter(range(embodiment.grippers))
    for number, arm in enumerate(embodiment.arms):
        pose = poses[:, 6 * number : 6 * number + 6]
        moves = pose[ahead] - pose
        moves[:, 3:] = (moves[:, 3:] + np.pi) % (2 * np.pi) - np.pi
        index = next(grippers) if arm.gripper else None
        fingers = None if gripper is None or index is None else gripper[ahead, index] - gripper[:, index]
        spoken = _phrases(params, moves, fingers, embodiment.axes)
        name = f"{arm.name} arm: " if len(embodiment.arms) > 1 else ""
        texts = [f"{text}; {name}{said}" if text else f"{name}{said}" for text, said in zip(texts, spoken, strict=True)]
    rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 1.0
    return [f"{text[0].upper()}{text[1:]}." for text in settled(texts, max(1, round(params.shortest_s * rate)))]


def settled(texts: Sequence[str], shortest: int) -> list[str]:
    """The texts, each standing until a new one holds for ``shortest`` frames on end, as a person would annotate."""
    spoken = list(texts[:1])
    for index in range(1, len(texts)):
        ahead = texts[index : index + shortest]
        holds = len(ahead) == shortest and len(set(ahead)) == 1
        spoken.append(ahead[0] if holds else spoken[-1])
    return spoken


def _phrases(
    params: AnnotateConfig, moves: Floats, fingers: Floats | None, axes: tuple[Direction, Direction, Direction]
) -> list[str]:
    """The motion of one arm per frame, from its change of pose ``moves`` ``[T, 6]`` and of opening ``[T]``."""
    distance = np.linalg.norm(moves[:, :3], axis=1)
    largest = np.abs(moves[:, :3]).max(axis=1)
    named = (np.abs(moves[:, :3]) >= params.share * largest[:, None]) & (distance >= params.still_m)[:, None]
    spoken = []
    for frame, move in enumerate(moves):
        ways = [axes[k] if move[k] > 0 else _OPPOSITE[axes[k]] for k in range(3) if named[frame, k]]
        parts = [f"move {' and '.join(ways)}"] if ways else []
        _, pitch, yaw = move[3:]
        if abs(pitch) >= params.still_rad:
            parts.append("tilt down" if pitch > 0 else "tilt up")
        if abs(yaw) >= params.still_rad:
            parts.append("turn counterclockwise" if yaw > 0 else "turn clockwise")
        if fingers is not None and abs(fingers[frame]) >= params.fingers:
            parts.append("open the gripper" if fingers[frame] > 0 else "close the gripper")
        spoken.append(", ".join(parts) or STILL)
    return spoken
