"""The Arrow schemas of every table that crosses a stage boundary, and the check that holds them.

Episodes are named by their digest (column ``episode``); frames by ``(episode, frame_index)``. Units are SI:
seconds, metres, radians. Lists that hold one entry per arm follow the order of `Embodiment.arms`.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from dualvla_core.errors import ArtifactError

FORMAT_VERSION = 1
IMAGE_PREFIX = "image."

_KEY = [pa.field("episode", pa.string(), False), pa.field("frame_index", pa.int32(), False)]

REASONING = pa.list_(
    pa.struct(
        [
            pa.field("style", pa.string(), False),
            pa.field("content", pa.string(), False),
            pa.field("question", pa.string()),  # what the content answers; null where nobody asked
        ]
    )
)
"""Embodied reasoning of one frame: ordered pieces such as ``{style: "subtask", content: "reach the handle"}``."""

SIGNALS = pa.schema(
    [
        *_KEY,
        pa.field("timestamp", pa.float64(), False),  # s since the first frame
        pa.field("state", pa.list_(pa.float32())),
        pa.field("action", pa.list_(pa.float32())),  # null where the demonstration has none
        pa.field("ee_pose", pa.list_(pa.float64())),  # 6 per arm: x y z (m) roll pitch yaw (rad); null without EE pose
        pa.field("joints", pa.list_(pa.float64())),  # rad (or m), arm after arm; null where not described
        pa.field("gripper", pa.list_(pa.float32())),  # one per gripper, 0 = closed, 1 = open; null without gripper
        pa.field("instruction", pa.string(), False),
        pa.field("reasoning", REASONING),  # null where the demonstration has none
    ]
)
"""One row per frame of the canonical episode, without images."""

SCAN = pa.schema(
    [
        pa.field("episode", pa.string(), False),
        pa.field("episode_index", pa.int64(), False),  # the dataset's own number
        pa.field("length", pa.int32(), False),  # frames
        pa.field("fps", pa.float64(), False),  # Hz
        pa.field("embodiment", pa.string(), False),
        pa.field("task", pa.string(), False),
        pa.field("instruction", pa.string(), False),
        pa.field("initial_condition", pa.string(), False),  # what the split is hashed by
        pa.field("cameras", pa.list_(pa.string()), False),
        pa.field("source_bytes", pa.int64(), False),  # its share of the dataset's files
        pa.field("files_digest", pa.string(), False),  # of the files it lies in
        pa.field("source_file", pa.string(), False),  # where it comes from, as annotation files name it ...
        pa.field("source_id", pa.string(), False),  # ... and its number or name there
    ]
)
"""One row per readable episode of a dataset, as `scan_demonstrations` found it."""

SKIPPED = pa.schema(
    [
        pa.field("episode_index", pa.int64(), False),
        pa.field("episode", pa.string()),  # null when it could not even be identified
        pa.field("reason", pa.string(), False),
    ]
)
"""Every episode that was left out, with the sentence that says why."""

EPISODES = pa.schema(
    [
        pa.field("episode", pa.string(), False),
        pa.field("length", pa.int32(), False),
        pa.field("fps", pa.float64(), False),
        pa.field("embodiment", pa.string(), False),
        pa.field("instruction", pa.string(), False),
        pa.field("cameras", pa.list_(pa.string()), False),
    ]
)
"""The index of a decoded segment; row ``i`` describes record batch ``i`` of ``frames.arrow``."""

COLLECTION = pa.schema(
    [
        pa.field("episode", pa.string(), False),
        pa.field("episode_index", pa.int64(), False),  # the dataset's own number
        pa.field("segment", pa.string(), False),  # key of the decoded segment it lies in
        pa.field("position", pa.int32(), False),  # row of the segment's index
        pa.field("split", pa.string(), False),  # train or held_out
        pa.field("task", pa.string(), False),
        pa.field("instruction", pa.string(), False),
        pa.field("initial_condition", pa.string(), False),
        pa.field("length", pa.int32(), False),  # frames
        pa.field("fps", pa.float64(), False),  # Hz
    ]
)
"""The episodes of one run, and in which segment each lies."""

ANNOTATIONS = pa.schema(
    [
        pa.field("episode", pa.string(), False),
        pa.field("frame_index", pa.int32()),  # the raw frame of the dataset; null for the whole episode
        pa.field("style", pa.string(), False),
        pa.field("content", pa.string(), False),
        pa.field("question", pa.string()),
    ]
)
"""Embodied reasoning from annotation files, a row per piece, in the order the pieces are to be said."""

UNUSED_ANNOTATIONS = pa.schema(
    [
        pa.field("file", pa.string(), False),
        pa.field("source_file", pa.string(), False),
        pa.field("source_id", pa.string(), False),
        pa.field("reason", pa.string(), False),
    ]
)
"""Every annotated episode that was left out, with the sentence that says why."""

ANNOTATED = pa.schema([*_KEY, pa.field("reasoning", REASONING)])
"""The reasoning of a segment's frames, in place of what the segment itself holds."""

BOUNDARIES = pa.schema([*_KEY, pa.field("score", pa.float32(), False)])  # in [0, 1]
"""Event-boundary score per frame, before peak picking."""

EVENT_LABELS = pa.schema(
    [
        pa.field("episode", pa.string(), False),
        pa.field("task", pa.string(), False),
        pa.field("initial_condition", pa.string(), False),
        pa.field("length", pa.int32(), False),  # frames
        pa.field("fps", pa.float64(), False),  # Hz
        pa.field("boundaries", pa.list_(pa.int32()), False),  # first frames of new phases, ascending
    ]
)
"""Labelled event boundaries, one row per labelled episode."""

KINEMATICS = pa.schema(
    [
        *_KEY,
        pa.field("linear_speed", pa.list_(pa.float64())),  # m/s per arm; null in joint space
        pa.field("angular_speed", pa.list_(pa.float64())),  # rad/s per arm; null in joint space
        pa.field("joint_speed", pa.list_(pa.float64())),  # norm over the arm's joints, rad/s; null in pose space
        pa.field("acceleration", pa.list_(pa.float64()), False),  # per arm: Eq. 4's norm, per s^2; NaN at the ends
        pa.field("jerk", pa.list_(pa.float64())),  # per arm, of the same vector, per s^3; NaN at two frames either end
        pa.field("gripper_open", pa.list_(pa.bool_())),  # per gripper, binarised; null without gripper
        pa.field("gripper_flip", pa.bool_(), False),  # any gripper changed from the frame before
    ]
)
"""Speeds, acceleration, jerk and gripper transitions per frame; only acceleration and transitions gate."""

DECISIONS = pa.schema(
    [
        *_KEY,
        pa.field("keep", pa.bool_(), False),  # the frame keeps its reasoning; frame and action always stay
        pa.field("rule", pa.string(), False),  # why, in words (see pruning.decide)
        pa.field("scene_label", pa.bool_(), False),
        pa.field("action_label", pa.bool_(), False),
        pa.field("boundary_score", pa.float32(), False),
        pa.field("boundary_threshold", pa.float32(), False),
        pa.field("boundary_distance", pa.int32()),  # frames to the nearest picked boundary; null when there is none
        pa.field("kept_up_to", pa.float32()),  # greatest boundary threshold that keeps it; null: none, or a draw
        pa.field("acceleration", pa.float64()),  # of the arm with the largest ratio; null at the ends
        pa.field("acceleration_mean", pa.float64()),  # that arm's mean over the trajectory
        pa.field("gripper_flip", pa.bool_(), False),
        pa.field("gripper_before", pa.list_(pa.bool_())),  # per gripper, open on the frame before; null on the first
        pa.field("gripper_after", pa.list_(pa.bool_())),  # per gripper, open on this frame; null without gripper
        pa.field("has_reasoning", pa.bool_(), False),
        pa.field("reasoning_words", pa.int32(), False),
    ]
)
"""The pruning decision table: one row per frame, the verdict and the numbers behind it."""

MULTIMODAL = pa.schema(
    [
        pa.field("sample", pa.string(), False),
        pa.field("image", pa.binary(), False),  # JPEG
        pa.field("question", pa.string(), False),
        pa.field("answer", pa.string(), False),
        pa.field("category", pa.string(), False),
        pa.field("split", pa.string(), False),  # train or held_out
    ]
)
"""One visual question with its answer per row."""


_MOMENTS = pa.struct(
    [
        pa.field("frames", pa.list_(pa.int64()), False),  # with a finite value
        pa.field("mean", pa.list_(pa.float64()), False),
        pa.field("squares", pa.list_(pa.float64()), False),  # sum of squared distances from the mean
        pa.field("minimum", pa.list_(pa.float64()), False),
        pa.field("maximum", pa.list_(pa.float64()), False),
    ]
)
RECORDED_VELOCITIES = pa.schema(
    [
        pa.field("noise", pa.list_(pa.float32()), False),  # draws x action chunk x action dimensions
        pa.field("time", pa.list_(pa.float32()), False),  # one per draw, in [0, 1]
        pa.field("velocity", pa.list_(pa.float32()), False),  # as noise
    ]
)
"""A flow head's answer about each training frame, in the order of shards and frames."""

RECORDED_DISTRIBUTIONS = pa.schema(
    [
        pa.field("ids", pa.list_(pa.int32()), False),  # positions x kept tokens (or bins)
        pa.field("mass", pa.list_(pa.float32()), False),  # as ids; 1 per position
        pa.field("negative_entropy", pa.list_(pa.float32()), False),  # one per position, nats
        pa.field("sampled_mass", pa.float32(), False),  # mean share of the mass that sampled tokens stand for
    ]
)
"""What a teacher says of every supervised token of a question, or of each number of a frame's action chunk, in bins."""

MOMENTS = pa.schema(
    [pa.field("episode", pa.string(), False), pa.field("action", _MOMENTS), pa.field("state", _MOMENTS)]
)
"""One row per episode of a shard: moments of its raw signals, one number per dimension; null without the signal."""


def image_fields(cameras: Sequence[str]) -> list[pa.Field]:
    """One JPEG column per camera, named ``image.<camera>``."""
    return [pa.field(IMAGE_PREFIX + camera, pa.binary(), False) for camera in cameras]


def frames_schema(cameras: Sequence[str]) -> pa.Schema:
    """A decoded episode: `SIGNALS` plus one encoded image per camera."""
    return pa.schema([*SIGNALS, *image_fields(cameras)])


def robot_shard_schema(cameras: Sequence[str]) -> pa.Schema:
    """A training shard of robot data: raw actions, and reasoning where pruning kept it (or, as context, everywhere)."""
    return pa.schema([*SIGNALS, pa.field("keep", pa.bool_(), False), *image_fields(cameras)])


def cameras_of(schema: pa.Schema) -> list[str]:
    """The cameras whose image columns a schema holds, in column order."""
    return [name.removeprefix(IMAGE_PREFIX) for name in schema.names if name.startswith(IMAGE_PREFIX)]


def check_schema(found: pa.Schema, expected: pa.Schema, where: str) -> None:
    """Raise `ArtifactError` naming the first column of ``found`` that differs from ``expected``."""
    for field in expected:
        if field.name not in found.names:
            raise ArtifactError(f"{where} lacks the column {field.name!r}; expected columns {expected.names}.")
        if not found.field(field.name).type.equals(field.type):
            raise ArtifactError(
                f"{where} has the column {field.name!r} of type {found.field(field.name).type}, expected {field.type}."
            )
    extra = [name for name in found.names if name not in expected.names]
    if extra:
        raise ArtifactError(f"{where} has unexpected columns {extra}; expected {expected.names}.")
