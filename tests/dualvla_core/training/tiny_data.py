"""The smallest data and policy that a training can be run on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dualvla_core.episodes.embodiment import Arm, EePose, Embodiment, Gripper, SignalSlice
from dualvla_core.models.config import BackboneConfig, FlowHeadConfig, ModelConfig, TinyBackboneConfig
from dualvla_core.schemas import COLLECTION, EPISODES, IMAGE_PREFIX, MULTIMODAL, robot_shard_schema
from dualvla_core.training.config import TrainingConfig
from dualvla_core.training.plan import TrainingInputs

LENGTH = 6
CAMERAS = ("front", "wrist")
EPISODES_OF = {"shard-a": ("one", "two"), "shard-b": ("three", "four")}
HELD_OUT = "two"

MODEL = ModelConfig(
    backbone=BackboneConfig(
        tiny=TinyBackboneConfig(
            vision_channels=(8, 8, 8), hidden=16, layers=1, heads=1, intermediate=16, vocabulary=320
        )
    ),
    image_size=16,
    image_tokens=1,
    action_queries=2,
    action_chunk=3,
    flow=FlowHeadConfig(hidden=8, layers=1, heads=1, euler_steps=2),
)

TRAINING = TrainingConfig(
    steps=6, robot_batch=4, multimodal_batch=2, multimodal_every=3, warmup_steps=2, flow_draws=2, zero_stage=0
)

ROBOT = Embodiment(
    name="robot",
    description="one arm",
    robot_types=("robot",),
    relative_actions=True,
    state_size=4,
    arms=(
        Arm(
            name="arm",
            ee_pose=EePose(
                position=SignalSlice(column="observation.state", start=0, stop=3), rotation=None, rotation_format="none"
            ),
            gripper=Gripper(column="observation.state", index=3, closed_value=0, open_value=1),
        ),
    ),
)


def write_data(folder: Path, *, broken: bool = False, robot: str = ROBOT.name) -> TrainingInputs:
    """Two shards of two episodes (one held out), four questions (one held out), statistics.

    With ``broken`` one frame of episode "four" was demonstrated with an action that is no number; ``robot`` is the name
    of the embodiment.
    """
    shards = tuple(_write_shard(folder / name, episodes, robot, broken) for name, episodes in EPISODES_OF.items())
    collection = folder / "collection"
    collection.mkdir()
    rows = [_collected(shard, place, name) for shard, names in EPISODES_OF.items() for place, name in enumerate(names)]
    pq.write_table(pa.Table.from_pylist(rows, COLLECTION), collection / "collection.parquet")
    statistics = folder / "statistics"
    statistics.mkdir()
    entry = {name: [bound] * 4 for name, bound in {"q01": -1.0, "q99": 1.0, "min": -1.0, "max": 1.0}.items()}
    signal = {**entry, "mask": [True, True, True, False]}
    (statistics / "statistics.json").write_text(json.dumps({robot: {"action": signal, "state": signal}}))
    return TrainingInputs(
        shards=shards, collection=collection, multimodal=_write_questions(folder / "multimodal"), statistics=statistics
    )


def jpeg(seed: int) -> bytes:
    """An image of 16 px that no other seed gives."""
    pixels = np.random.default_rng(seed).integers(0, 255, (16, 16, 3), np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def _collected(segment: str, position: int, name: str) -> dict[str, Any]:
    return {
        "episode": name,
        "episode_index": 0,
        "segment": segment,
        "position": position,
        "split": "held_out" if name == HELD_OUT else "train",
        "task": "push",
        "instruction": "Push.",
        "initial_condition": name,
        "length": LENGTH,
        "fps": 10.0,
    }


def _write_shard(folder: Path, episodes: tuple[str, ...], robot: str, broken: bool) -> Path:
    folder.mkdir(parents=True)
    metadata = {"dualvla": json.dumps({"format": 1, "embodiment": ROBOT.model_dump(mode="json") | {"name": robot}})}
    schema = robot_shard_schema(CAMERAS).with_metadata(metadata)
    with pa.ipc.new_file(str(folder / "shard.arrow"), schema) as writer:
        for name in episodes:
            rows = [_frame(name, index, broken) for index in range(LENGTH)]
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
    index = [
        {
            "episode": name,
            "length": LENGTH,
            "fps": 10.0,
            "embodiment": robot,
            "instruction": "Push.",
            "cameras": list(CAMERAS),
        }
        for name in episodes
    ]
    pq.write_table(pa.Table.from_pylist(index, EPISODES), folder / "episodes.parquet")
    return folder


def _frame(episode: str, index: int, broken: bool) -> dict[str, Any]:
    position = np.sin([index, index + 1, index + 2]).tolist()
    reasoning = [{"style": "subtask", "content": "reach the block"}] if index % 2 else None
    gripper = float("nan") if broken and (episode, index) == ("four", 2) else index / LENGTH
    return {
        "episode": episode,
        "frame_index": index,
        "timestamp": index / 10,
        "state": [*position, index / LENGTH],
        "action": [*np.cos(position).tolist(), gripper],
        "ee_pose": [*position, 0.0, 0.0, 0.0],
        "joints": None,
        "gripper": [index / LENGTH],
        "instruction": "Push.",
        "reasoning": reasoning,
        "keep": reasoning is not None,
        **{IMAGE_PREFIX + camera: jpeg(10 * index + place) for place, camera in enumerate(CAMERAS)},
    }


def _write_questions(folder: Path) -> Path:
    folder.mkdir()
    rows = [
        {
            "sample": f"q{number}",
            "image": jpeg(100 + number),
            "question": "What is it?" if number % 2 else "Is there a block on the table?",
            "answer": "A block." if number % 2 else "Yes.",
            "category": "object",
            "split": "held_out" if number == 0 else "train",
        }
        for number in range(4)
    ]
    with pa.ipc.new_file(str(folder / "multimodal.arrow"), MULTIMODAL) as writer:
        writer.write_batch(pa.RecordBatch.from_pylist(rows, MULTIMODAL))
    return folder
