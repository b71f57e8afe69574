"""Synthetic segments, written as the decode stage writes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core.episodes.embodiment import Arm, EePose, Embodiment, Gripper, SignalSlice
from dualvla_core.schemas import EPISODES, IMAGE_PREFIX, SIGNALS, SKIPPED, frames_schema

STATE = "observation.state"


@dataclass(frozen=True)
class SyntheticEpisode:
    """What a test chooses of an episode; everything is derived from the trajectory if left out."""

    trajectory: np.ndarray
    """``[T, 6 * arms]`` poses or ``[T, joints]``."""
    gripper: np.ndarray | None = None
    """``[T, grippers]``, 0 closed, 1 open."""
    reasoning: Sequence[str | None] | None = None
    """One text per frame; None for no reasoning."""
    fps: float = 10.0
    camera_images: Mapping[str, Sequence[np.ndarray]] = field(default_factory=dict)
    """``T`` RGB images of a camera; by default a square that moves with the first coordinate."""
    actions: np.ndarray | None = None
    timestamps: np.ndarray | None = None
    name: str = ""

    def __len__(self) -> int:
        return len(self.trajectory)


def pose_embodiment(grippers: bool) -> Embodiment:
    """One arm: x y z roll pitch yaw and, with ``grippers``, its gripper; displacement actions."""
    gripper = Gripper(column=STATE, index=6, closed_value=0, open_value=1) if grippers else None
    pose = EePose(
        position=SignalSlice(column=STATE, start=0, stop=3),
        rotation=SignalSlice(column=STATE, start=3, stop=6),
        rotation_format="euler_xyz",
    )
    return Embodiment(
        name="test_pose",
        description="one arm",
        robot_types=("test_pose",),
        relative_actions=True,
        state_size=6 + grippers,
        arms=(Arm(name="arm", ee_pose=pose, gripper=gripper),),
    )


def joint_embodiment(grippers: int) -> Embodiment:
    """Two arms of two joints, the last ``grippers`` of them with one (state l0 l1 lg r0 r1 rg); actions are targets."""
    left = grippers == 2
    arms = [
        Arm(
            name=name,
            joints=SignalSlice(column=STATE, start=start, stop=start + 2),
            gripper=Gripper(column=STATE, index=start + 2, closed_value=0, open_value=1) if grips else None,
        )
        for name, start, grips in (("left", 0, left), ("right", 2 + left, grippers > 0))
    ]
    return Embodiment(
        name="test_joints",
        description="two arms",
        robot_types=("test_joints",),
        relative_actions=False,
        state_size=4 + grippers,
        arms=tuple(arms),
    )


def square_images(positions: np.ndarray, size: int = 64) -> list[np.ndarray]:
    """A bright square on a textured ground, ``positions`` ``[T]`` in [0, 1] across the image."""
    rows, columns = np.mgrid[0:size, 0:size]
    ground = (60 + 20 * np.sin(rows / 3) * np.cos(columns / 5)).astype(np.uint8)
    images = []
    for position in positions:
        image = np.repeat(ground[:, :, None], 3, axis=2)
        left = round(float(np.clip(position, 0, 1)) * (size - 16))
        image[24:40, left : left + 16] = (220, 180, 40)
        image[28:36, left + 4 : left + 12] = (40, 60, 200)
        images.append(image)
    return images


def _lists(values: np.ndarray | None, kind: pa.DataType, length: int) -> pa.Array:
    return pa.nulls(length, kind) if values is None else pa.array(np.asarray(values).tolist(), kind)


def _batch(episode: SyntheticEpisode, embodiment: Embodiment, cameras: Sequence[str], name: str) -> pa.RecordBatch:
    length = len(episode)
    state = episode.trajectory
    if episode.gripper is not None and embodiment.has_ee_pose:
        state = np.hstack([state, episode.gripper])
    elif episode.gripper is not None:
        state = np.hstack([state[:, :2], episode.gripper[:, :-1], state[:, 2:], episode.gripper[:, -1:]])
    actions = np.diff(state, axis=0, append=state[-1:]) if episode.actions is None else episode.actions
    times = np.arange(length) / episode.fps if episode.timestamps is None else episode.timestamps
    reasoning = episode.reasoning or [None] * length
    columns: dict[str, Any] = {
        "episode": pa.array([name] * length),
        "frame_index": pa.array(range(length), pa.int32()),
        "timestamp": pa.array(times, pa.float64()),
        "state": _lists(state, SIGNALS.field("state").type, length),
        "action": _lists(actions, SIGNALS.field("action").type, length),
        "ee_pose": _lists(
            episode.trajectory if embodiment.has_ee_pose else None, SIGNALS.field("ee_pose").type, length
        ),
        "joints": _lists(None if embodiment.has_ee_pose else episode.trajectory, SIGNALS.field("joints").type, length),
        "gripper": _lists(episode.gripper, SIGNALS.field("gripper").type, length),
        "instruction": pa.array(["push the block"] * length),
        "reasoning": pa.array(
            [None if text is None else [{"style": "subtask", "content": text}] for text in reasoning],
            SIGNALS.field("reasoning").type,
        ),
    }
    square = square_images(episode.trajectory[:, 0])
    for camera in cameras:
        images = episode.camera_images.get(camera, square)
        columns[IMAGE_PREFIX + camera] = [cv2.imencode(".jpg", image[..., ::-1])[1].tobytes() for image in images]
    return pa.RecordBatch.from_pydict(columns, schema=frames_schema(cameras))


@pytest.fixture(scope="session")
def make_images() -> Callable[[np.ndarray], list[np.ndarray]]:
    """A factory of RGB images from the positions ``[T]`` (0 left, 1 right) of a square."""
    return square_images


MakeSegment = Callable[..., Path]


@pytest.fixture
def make_segment(tmp_path: Path) -> MakeSegment:
    """A factory ``(episodes, space, cameras, name) -> folder`` of decoded segments.

    Each episode is a mapping of `SyntheticEpisode`'s fields; ``space`` is "pose" (one arm) or "joints" (two arms).
    """

    def make(
        episodes: Sequence[Mapping[str, Any]],
        space: str = "pose",
        cameras: Sequence[str] = ("front",),
        name: str = "segment",
    ) -> Path:
        return write_segment(tmp_path / name, [SyntheticEpisode(**each) for each in episodes], space, cameras)

    return make


def write_segment(folder: Path, episodes: Sequence[SyntheticEpisode], space: str, cameras: Sequence[str]) -> Path:
    """Write ``episodes`` as one segment and return its folder."""
    grippers = 0 if episodes[0].gripper is None else episodes[0].gripper.shape[1]
    embodiment = pose_embodiment(grippers > 0) if space == "pose" else joint_embodiment(grippers)
    folder.mkdir()
    names = [each.name or hashlib.sha256(f"{index}".encode()).hexdigest() for index, each in enumerate(episodes)]
    metadata = {"dualvla": json.dumps({"format": 1, "embodiment": embodiment.model_dump(mode="json")})}
    schema = frames_schema(cameras).with_metadata(metadata)
    with pa.ipc.new_file(str(folder / "frames.arrow"), schema) as writer:
        for episode, digest in zip(episodes, names, strict=True):
            writer.write_batch(_batch(episode, embodiment, cameras, digest).cast(schema))
    index = {
        "episode": names,
        "length": [len(episode) for episode in episodes],
        "fps": [episode.fps for episode in episodes],
        "embodiment": [embodiment.name] * len(episodes),
        "instruction": ["push the block"] * len(episodes),
        "cameras": [list(cameras)] * len(episodes),
    }
    pq.write_table(pa.table(index, schema=EPISODES), folder / "episodes.parquet")
    pq.write_table(SKIPPED.empty_table(), folder / "skipped.parquet")
    return folder


TableDigest = Callable[[pa.Table], str]


@pytest.fixture(scope="session")
def table_digest() -> TableDigest:
    """Digest of a table's schema and values; floats count to 6 digits, so that every machine agrees."""

    def plain(value: Any) -> Any:
        if isinstance(value, float):
            return f"{value:.6g}"
        return [plain(each) for each in value] if isinstance(value, list) else value

    def digest(table: pa.Table) -> str:
        columns = [[plain(value) for value in column] for column in table.to_pydict().values()]
        text = json.dumps([str(table.schema.remove_metadata()), columns], default=lambda content: content.hex())
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    return digest
