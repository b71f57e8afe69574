"""The tables evaluation writes."""

from __future__ import annotations

import pyarrow as pa

ROLLOUTS_FILE, STEPS_FILE, FRAMES_FILE = "rollouts.parquet", "steps.parquet", "frames.arrow"
LATENCIES_FILE = "latencies.parquet"
OPEN_LOOP_FILE = "open_loop.parquet"
ANSWERS_FILE, CATEGORIES_FILE = "answers.parquet", "categories.parquet"

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
        pa.field("error", pa.string()),  # null: an episode that could not be played to its end is no row here
    ]
)
"""One row per episode, in the order the protocol plans them."""

STEPS = pa.schema(
    [
        pa.field("rollout", pa.int32(), False),
        pa.field("step", pa.int32(), False),  # control steps since the first
        pa.field("state", pa.list_(pa.float32()), False),  # before the action
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
        pa.field("sample", pa.string(), False),
        pa.field("category", pa.string(), False),
        pa.field("question", pa.string(), False),
        pa.field("expected", pa.string(), False),
        pa.field("answer", pa.string(), False),
        pa.field("correct", pa.bool_(), False),
    ]
)
"""One row per visual question."""

CATEGORIES = pa.schema(
    [
        pa.field("category", pa.string(), False),
        pa.field("questions", pa.int64(), False),
        pa.field("correct", pa.int64(), False),
        pa.field("accuracy", pa.float64(), False),
        pa.field("low", pa.float64(), False),  # 95 % Wilson interval
        pa.field("high", pa.float64(), False),
    ]
)
"""Accuracy per category of questions."""
