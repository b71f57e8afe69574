"""The tables evaluation writes."""

from __future__ import annotations

import pyarrow as pa

ROLLOUTS_FILE, STEPS_FILE, FRAMES_FILE = "rollouts.parquet", "steps.parquet", "frames.arrow"
LATENCIES_FILE = "latencies.parquet"
SOLVED_FILE = "solved.parquet"
OPEN_LOOP_FILE = "open_loop.parquet"
ANSWERS_FILE = "answers.parquet"

OBJECTS = pa.list_(
    pa.struct([pa.field("name", pa.string(), False), pa.field("position", pa.list_(pa.float32()), False)])  # [3], m
)
"""Where things are at one moment; ``gripper`` is the point between the finger tips."""

ROLLOUTS = pa.schema(
    [
        pa.field("rollout", pa.int32(), False),  # row number
        pa.field("task", pa.string(), False),
        pa.field("seed", pa.int64(), False),  # names the initial condition
        pa.field("success", pa.bool_(), False),
        pa.field("steps", pa.int32(), False),  # control steps
        pa.field("instruction", pa.string(), False),
        pa.field("policy_type", pa.string(), False),
        pa.field("final_state", pa.list_(pa.float32()), False),  # after the last step
        pa.field("final_objects", OBJECTS),  # null where the environment does not tell
        pa.field("error", pa.string()),  # null: an episode that could not be played to its end is no row here
    ]
)
"""One row per episode, in the order the protocol plans them."""

STEPS = pa.schema(
    [
        pa.field("rollout", pa.int32(), False),
        pa.field("step", pa.int32(), False),  # control steps since the first
        pa.field("state", pa.list_(pa.float32()), False),  # before the action
        pa.field("objects", OBJECTS),  # before the action; null where the environment does not tell
        pa.field("action", pa.list_(pa.float32()), False),  # as carried out
        pa.field("reasoning", pa.string()),  # what was said at this step; null where nothing was
        pa.field("replanned", pa.bool_(), False),  # the policy decided at this step
    ]
)
"""One row per control step, episode after episode."""

FRAMES = pa.schema(
    [
        pa.field("rollout", pa.int32(), False),
        pa.field("step", pa.int32(), False),  # control steps done when it was seen
        pa.field("image", pa.binary(), False),  # JPEG of the third-person camera
    ]
)
"""A few moments per episode, the first and the last among them; one record batch per episode."""

SOLVED = pa.schema(
    [
        pa.field("rollout", pa.int32(), False),
        pa.field("step", pa.int32(), False),  # control steps done
        pa.field("solved", pa.bool_(), False),  # whether the task is solved at this moment
    ]
)
"""One row per moment, the last included; only where an episode goes on after its task is solved: elsewhere its length
says when that was."""

LATENCIES = pa.schema(
    [
        pa.field("rollout", pa.int32(), False),
        pa.field("step", pa.int32(), False),
        pa.field("latency_s", pa.float64(), False),  # s the decision took
    ]
)
"""One row per decision. Another execution would measure others, so it lies beside the rollouts and not among them."""

OPEN_LOOP = pa.schema(
    [
        pa.field("episode", pa.string(), False),
        pa.field("dimension", pa.int32(), False),  # of the action
        pa.field("actions", pa.int64(), False),  # compared
        pa.field("error", pa.float64(), False),  # mean absolute, in the action's own unit
        pa.field("normalised_error", pa.float64(), False),  # in units of half the 1 % to 99 % range
    ]
)
"""Mean absolute action error per held-out episode and action dimension."""

ANSWERS = pa.schema(
    [
        pa.field("index", pa.string(), False),
        pa.field("item", pa.string(), False),  # what is counted: the question, or the one it is a rotation of
        pa.field("category", pa.string()),
        pa.field("split", pa.string()),
        pa.field("question", pa.string(), False),
        pa.field("expected", pa.string(), False),
        pa.field("answer", pa.string()),  # null where there is no prediction
        pa.field("understood", pa.string()),  # the option or text read out of it; null where nothing was
        pa.field("score", pa.float64()),  # in [0, 1]; null: missing
        pa.field("note", pa.string()),  # why nothing was understood, or why the score is missing
    ]
)
"""One row per visual question."""
