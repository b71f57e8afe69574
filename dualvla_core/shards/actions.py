"""What each dimension of an action or a state is, and how an action chunk goes on after the last frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dualvla_core.episodes.embodiment import Embodiment


def gripper_actions(embodiment: Embodiment, width: int) -> NDArray[np.bool_]:
    """Which of an action's ``width`` dimensions command a gripper ``[width]``.

    Displacements are laid out arm after arm with the gripper's command last, as in Open X-Embodiment. Targets have the
    layout of the state they aim at; where they are not as wide as the state, none is taken for a gripper.
    """
    mask = np.zeros(width, np.bool_)
    if not embodiment.relative_actions:
        return gripper_states(embodiment, width) if width == embodiment.state_size else mask
    each = width // len(embodiment.arms)
    for index, arm in enumerate(embodiment.arms):
        mask[(index + 1) * each - 1] = arm.gripper is not None
    return mask


def gripper_states(embodiment: Embodiment, width: int) -> NDArray[np.bool_]:
    """Which of the state's ``width`` dimensions measure a gripper ``[width]``."""
    mask = np.zeros(width, np.bool_)
    for arm in embodiment.arms:
        if arm.gripper is not None and arm.gripper.column == embodiment.state_column:
            mask[arm.gripper.index] = True
    return mask


def action_chunk(
    actions: NDArray[np.float32], start: int, length: int, relative: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """``length`` raw actions from frame ``start`` of an episode's ``actions`` ``[T, D]``, and which of them are
    padding.

    Past the end the dimensions in ``relative`` ``[D]`` move no further (0, before normalisation) and the others
    (targets, grippers) repeat their last value.

    Returns:
        The chunk ``[length, D]`` and ``[length]``, True where the episode was already over.
    """
    known = actions[start : start + length]
    if len(known) == length:
        return known.copy(), np.zeros(length, np.bool_)
    over = np.arange(length) >= len(known)
    beyond = np.where(relative, np.float32(0), actions[-1])
    return np.concatenate([known, np.broadcast_to(beyond, (length - len(known), len(beyond)))]), over
