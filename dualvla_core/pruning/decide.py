"""The decision table: for every frame of a segment the verdict, the rule in words, and the numbers behind both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dualvla_core.events.peaks import boundary_distances
from dualvla_core.kinematics.derivatives import episode_starts
from dualvla_core.pruning.baselines import RULES, Evidence
from dualvla_core.pruning.config import PruningConfig, Rule
from dualvla_core.pruning.labels import ActionLabels, action_labels
from dualvla_core.pruning.scene import SceneLayer, kept_up_to
from dualvla_core.schemas import DECISIONS

# Every sentence the column `rule` can hold.
KEPT_BY_BOTH = "kept: event boundary and acceleration"
KEPT_BY_BOUNDARY_AND_FLIP = "kept: event boundary and gripper transition"
KEPT_BY_BOUNDARY = "kept: event boundary"
KEPT_BY_ACCELERATION = "kept: acceleration"
KEPT_BY_FLIP = "kept: gripper transition"
KEPT_FIRST_FRAME = "kept: first frame"
KEPT_UNPRUNED = "kept: no pruning"
KEPT_BY_CHANCE = "kept: drawn at random"
KEPT_EVENLY = "kept: evenly spaced"
DROPPED_NO_BOUNDARY = "dropped: no event boundary"
DROPPED_STEADY = "dropped: steady motion"
DROPPED_BOTH = "dropped: no event boundary and steady motion"
DROPPED_BY_CHANCE = "dropped: not drawn at random"
DROPPED_EVENLY = "dropped: between evenly spaced frames"


class SegmentEvidence(NamedTuple):
    """What the rule is decided on: ``N`` frames of several trajectories, laid end to end."""

    episodes: Sequence[str]
    lengths: NDArray[np.int64]
    """Frames per episode; they add up to ``N``."""
    fps: NDArray[np.float64]
    """Hz per episode."""
    scores: NDArray[np.float32]
    """``[N]``: boundary scores in [0, 1]."""
    acceleration: NDArray[np.float64]
    """``[N, arms]``: Eq. 4's norms, NaN at the ends."""
    gripper_flip: NDArray[np.bool_]
    """``[N]``"""
    gripper_open: pa.Array
    """``[N]`` lists, one state per gripper; null without gripper."""
    reasoning: pa.Array
    """``[N]`` of `schemas.REASONING`."""


class _Verdicts(NamedTuple):
    """What is decided frame by frame, ``[N]`` each; ``distance`` is in frames, to the nearest boundary."""

    scene: NDArray[np.bool_]
    distance: NDArray[np.int64]
    keep: NDArray[np.bool_]
    kept_up_to: NDArray[np.float32]


def decide(params: PruningConfig, evidence: SegmentEvidence) -> pa.Table:
    """The decision table (`schemas.DECISIONS`) of a segment, one row per frame in the order of ``evidence``.

    The default rule is DualVLA's: a frame keeps its reasoning iff its scene label and its action label are both 1. Only
    the episode's own frames count in a verdict, so the order and number of episodes in a segment change nothing.
    """
    action = action_labels(evidence.acceleration, evidence.gripper_flip, evidence.lengths)
    scene, distance, keep, reach = _verdicts(params, evidence, action)
    lengths = evidence.lengths
    frame_index = np.concatenate([np.arange(length, dtype=np.int32) for length in [0, *lengths.tolist()]])
    nowhere = distance >= np.repeat(lengths, lengths)
    undefined = np.isnan(action.acceleration)
    columns = {
        "episode": pa.array(np.repeat(np.asarray(evidence.episodes, dtype=object), lengths), pa.string()),
        "frame_index": frame_index,
        "keep": keep,
        "rule": _rules(params, keep, scene, action, frame_index),
        "scene_label": scene,
        "action_label": action.label,
        "boundary_score": evidence.scores,
        "boundary_threshold": np.full(len(keep), params.boundary_threshold, np.float32),
        "boundary_distance": pa.array(distance.astype(np.int32), mask=nowhere),
        "kept_up_to": pa.array(reach, mask=np.isnan(reach)),
        "acceleration": pa.array(action.acceleration, mask=undefined),
        "acceleration_mean": pa.array(action.mean, mask=undefined),
        "gripper_flip": evidence.gripper_flip,
        "gripper_before": _grippers_before(evidence.gripper_open, lengths),
        "gripper_after": evidence.gripper_open,
        "has_reasoning": pc.greater(pc.fill_null(pc.list_value_length(evidence.reasoning), 0), 0),
        "reasoning_words": reasoning_words(evidence.reasoning),
    }
    return pa.table(columns, schema=DECISIONS)


def reasoning_words(reasoning: pa.Array) -> NDArray[np.int32]:
    """Words (runs of non-blank characters) in each frame's reasoning ``[N]``; 0 where there is none."""
    content = pc.struct_field(pc.list_flatten(reasoning), "content")
    frame = pc.list_parent_indices(reasoning).to_numpy(zero_copy_only=False)
    words = pc.count_substring_regex(content, r"\S+").to_numpy(zero_copy_only=False)
    return np.bincount(frame, weights=words, minlength=len(reasoning)).astype(np.int32)


def _verdicts(params: PruningConfig, evidence: SegmentEvidence, action: ActionLabels) -> _Verdicts:
    found = [_Verdicts(np.zeros(0, np.bool_), np.zeros(0, np.int64), np.zeros(0, np.bool_), np.zeros(0, np.float32))]
    start = 0
    for episode, length, fps in zip(evidence.episodes, evidence.lengths.tolist(), evidence.fps.tolist(), strict=True):
        rows = slice(start, start + length)
        layer = SceneLayer.of(params, evidence.scores[rows], fps)
        of_episode = Evidence(
            episode, layer.label(params.boundary_threshold), action.label[rows], params.keep_first_frame, params.seed
        )
        keep = RULES[params.rule](of_episode)
        distance = boundary_distances(length, layer.boundaries(params.boundary_threshold))
        found.append(_Verdicts(of_episode.scene, distance, keep, kept_up_to(params.rule, of_episode, layer.reach)))
        start += length
    return _Verdicts(*(np.concatenate(column) for column in zip(*found, strict=True)))


def _grippers_before(gripper_open: pa.Array, lengths: NDArray[np.int64]) -> pa.Array:
    """Each frame's gripper states on the frame before; null on first frames."""
    first = np.zeros(len(gripper_open), np.bool_)
    first[episode_starts(lengths)] = True
    return gripper_open.take(pa.array(np.arange(len(gripper_open)) - 1, mask=first))


def _rules(
    params: PruningConfig,
    keep: NDArray[np.bool_],
    scene: NDArray[np.bool_],
    action: ActionLabels,
    frame_index: NDArray[np.int32],
) -> pa.Array:
    """The sentence that says why, per frame: the first whose condition holds, else the first frame was forced."""
    accelerates = action.acceleration > action.mean  # False where NaN
    first_frame = params.keep_first_frame & (frame_index == 0)
    of_rule: dict[Rule, list[tuple[NDArray[np.bool_], str]]] = {
        "none": [(keep, KEPT_UNPRUNED)],
        "random": [(first_frame, KEPT_FIRST_FRAME), (keep, KEPT_BY_CHANCE), (~keep, DROPPED_BY_CHANCE)],
        "uniform": [(keep, KEPT_EVENLY), (~keep, DROPPED_EVENLY)],
        "scene_only": [(scene, KEPT_BY_BOUNDARY), (~keep, DROPPED_NO_BOUNDARY)],
        "action_only": [(accelerates, KEPT_BY_ACCELERATION), (action.label, KEPT_BY_FLIP), (~keep, DROPPED_STEADY)],
        "dual": [
            (scene & accelerates, KEPT_BY_BOTH),
            (scene & action.label, KEPT_BY_BOUNDARY_AND_FLIP),
            (~keep & scene, DROPPED_STEADY),
            (~keep & action.label, DROPPED_NO_BOUNDARY),
            (~keep, DROPPED_BOTH),
        ],
    }
    conditions, sentences = zip(*of_rule[params.rule], strict=True)
    return pa.array(np.select(conditions, sentences, default=KEPT_FIRST_FRAME).astype(object), pa.string())
