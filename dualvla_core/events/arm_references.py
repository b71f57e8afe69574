"""References that know the arm's motion exactly and see no picture.

No video shows the arm moving better than it was recorded. A detector behind these lacks eyes, not examples; a boundary
that these miss too is not in the arm's motion, or not to be learned from these examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dualvla_core.events.arm import ArmMotion, acceleration_score, arm_velocity
from dualvla_core.events.calibration import choose_picking
from dualvla_core.events.config import EventsTrainingConfig, MotionNetConfig
from dualvla_core.events.labels import LabelledEpisode, choose
from dualvla_core.events.motion_net import boundary_scores
from dualvla_core.events.motion_training import hands_of, train_boundaries


def arm_boundaries(
    params: MotionNetConfig,
    settings: EventsTrainingConfig,
    motions: Mapping[str, ArmMotion],
    learned: Sequence[LabelledEpisode],
    episodes: Sequence[LabelledEpisode],
) -> dict[str, dict[str, list[int]]]:
    """Boundaries of ``episodes`` by two references, calibrated on their part of the ``learned`` episodes.

    ``arm_peaks`` are peaks of the acceleration; ``arm_learned`` is the motion network's second half on the recorded
    velocities, trained on the episodes that detectors are trained on.
    """
    train, calibrate = (choose(settings.calibration, learned, part) for part in ("train", "calibrate"))
    velocities = {name: arm_velocity(motion) for name, motion in motions.items()}
    networks = train_boundaries(params, settings.training, train, velocities, hands_of(train, motions)).networks
    asked = [*calibrate, *episodes]
    scored = {
        "arm_peaks": {each.episode: acceleration_score(motions[each.episode]) for each in asked},
        "arm_learned": {each.episode: boundary_scores(networks, velocities[each.episode]) for each in asked},
    }
    pickings = {name: choose_picking(settings.calibration, calibrate, scores) for name, scores in scored.items()}
    return {
        name: {each.episode: picking.boundaries(scored[name][each.episode], each.fps).tolist() for each in episodes}
        for name, picking in pickings.items()
    }
