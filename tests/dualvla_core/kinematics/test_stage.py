from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core.episodes.embodiment import Arm, EePose, Embodiment, SignalSlice
from dualvla_core.episodes.segment import Segment, SegmentWriter
from dualvla_core.errors import ArtifactError
from dualvla_core.kinematics import KinematicsConfig, compute_kinematics
from dualvla_core.kinematics.stage import kinematics_of
from dualvla_core.schemas import KINEMATICS, SIGNALS

Digest = Callable[[pa.Table], str]

# Digest of the output of stage version 2; when it changes, raise the stage's version in tasks/ and record it anew.
GOLDEN = {"version": 2, "poses": "d6f18df2dde8fb53", "joints": "a1f3d9051623f67e"}

NAN = pytest.approx(np.nan, nan_ok=True)


def _compute(segment: Path, output: Path, **params: object) -> pa.Table:
    output.mkdir(exist_ok=True)
    compute_kinematics(KinematicsConfig(**params), segment, output)
    return pq.read_table(output / "kinematics.parquet")


def _poses(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float64)


def test_poses_are_measured_in_metres_and_radians(make_segment: Callable[..., Path], tmp_path: Path) -> None:
    poses = _poses([0, 0, 0, 0, 0, 3.1], [3, 4, 0, 0, 0, 3.1], [3, 4, 0, 0, 0, -3.1])
    segment = make_segment([{"trajectory": poses, "fps": 10.0, "gripper": np.array([[0.9], [0.2], [0.2]])}])
    table = _compute(segment, tmp_path)
    turn = 2 * np.pi - 6.2
    assert table.schema.equals(KINEMATICS)
    assert table["linear_speed"].to_pylist() == [[NAN], [pytest.approx(50)], [pytest.approx(0)]]
    assert table["angular_speed"].to_pylist() == [[NAN], [pytest.approx(0)], [pytest.approx(turn * 10)]]
    assert table["joint_speed"].null_count == 3
    assert table["acceleration"].to_pylist() == [[NAN], [pytest.approx(100 * np.sqrt(25 + turn**2))], [NAN]]
    assert table["jerk"].to_pylist() == [[NAN]] * 3
    assert table["gripper_open"].to_pylist() == [[True], [False], [False]]
    assert table["gripper_flip"].to_pylist() == [False, True, False]


def test_without_poses_each_arm_is_measured_over_its_joints(make_segment: Callable[..., Path], tmp_path: Path) -> None:
    joints = _poses([0, 0, 0, 0], [3, 4, 0, 0], [3, 4, 1, 0])
    segment = make_segment([{"trajectory": joints, "fps": 1.0}], space="joints")
    table = _compute(segment, tmp_path)
    assert table["linear_speed"].null_count == table["angular_speed"].null_count == 3
    assert table["joint_speed"].to_pylist() == [[NAN, NAN], [5, 0], [0, 1]]
    assert table["acceleration"].to_pylist() == [[NAN, NAN], [5, 1], [NAN, NAN]]
    assert table["jerk"].to_pylist() == [[NAN, NAN]] * 3
    assert table["gripper_open"].null_count == 3
    assert not any(table["gripper_flip"].to_pylist())


def test_joints_do_not_wrap(make_segment: Callable[..., Path], tmp_path: Path) -> None:
    joints = _poses([0, 0, 0, 0], [0, 0, 0, 0], [10, 0, 0, 0])
    table = _compute(make_segment([{"trajectory": joints, "fps": 1.0}], space="joints"), tmp_path)
    assert table["acceleration"].to_pylist()[1] == [10, 0]


def test_a_motion_through_the_pole_is_no_jump(make_segment: Callable[..., Path], tmp_path: Path) -> None:
    poses = np.zeros((5, 6))
    poses[:, 3:] = [[0, p, 0] if p <= np.pi / 2 else [np.pi, np.pi - p, np.pi] for p in np.linspace(1.4, 1.8, 5)]
    table = _compute(make_segment([{"trajectory": poses, "fps": 1.0}]), tmp_path)
    assert table["acceleration"].to_pylist()[1:4] == [[pytest.approx(0, abs=1e-12)]] * 3
    assert table["angular_speed"].to_pylist()[1:] == [[pytest.approx(0.1)]] * 4


def _arm(name: str, start: int) -> Arm:
    position, rotation = (SignalSlice(column="s", start=start + at, stop=start + at + 3) for at in (0, 3))
    return Arm(name=name, ee_pose=EePose(position=position, rotation=rotation, rotation_format="euler_xyz"))


def test_two_arms_are_measured_each_by_itself() -> None:
    embodiment = Embodiment(
        name="two_arms",
        description="two arms without grippers",
        robot_types=("two_arms",),
        relative_actions=True,
        state_size=12,
        arms=(_arm("left", 0), _arm("right", 6)),
    )
    # the left hand goes 5 m and stays; the right one turns by 0.1 rad, then by 0.3 rad
    left = [[0, 0, 0, 0, 0, 0], [3, 4, 0, 0, 0, 0], [3, 4, 0, 0, 0, 0]]
    right = [[0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0.1], [0, 0, 0, 0, 0, 0.4]]
    columns = {
        "episode": ["e"] * 3,
        "frame_index": [0, 1, 2],
        "timestamp": [0.0, 1.0, 2.0],
        "ee_pose": [[*map(float, a), *map(float, b)] for a, b in zip(left, right, strict=True)],
        "joints": [None] * 3,
        "gripper": [None] * 3,
    }
    signals = pa.table(columns, schema=pa.schema([SIGNALS.field(name) for name in columns]))
    table = kinematics_of(KinematicsConfig(), signals, np.array([3]), embodiment)
    assert table["linear_speed"].to_pylist() == [[NAN, NAN], [5, 0], [0, 0]]
    assert table["angular_speed"].to_pylist()[1:] == [[0, pytest.approx(0.1)], [0, pytest.approx(0.3)]]
    assert table["acceleration"].to_pylist()[1] == [5, pytest.approx(0.2)]
    assert table["gripper_open"].null_count == 3


def test_the_stage_tells_what_it_did(make_segment: Callable[..., Path], tmp_path: Path) -> None:
    segment = make_segment([{"trajectory": np.zeros((3, 6)), "gripper": np.array([[1.0], [0.0], [0.0]])}] * 2)
    calls: list[tuple[int, int]] = []
    told = compute_kinematics(KinematicsConfig(), segment, tmp_path, lambda done, total: calls.append((done, total)))
    assert told == {"frames": 6, "gripper_flips": 2}
    assert calls == [(2, 2)]


def test_irregular_timestamps_count(make_segment: Callable[..., Path], tmp_path: Path) -> None:
    poses = np.zeros((3, 6))
    poses[:, 0] = [0, 1, 2]
    segment = make_segment([{"trajectory": poses, "timestamps": np.array([0, 0.5, 2.5])}])
    table = _compute(segment, tmp_path)
    assert table["linear_speed"].to_pylist() == [[NAN], [2], [0.5]]
    assert table["acceleration"].to_pylist() == [[NAN], [1.5 / 1.25], [NAN]]


def test_hysteresis_and_threshold_are_passed_on(make_segment: Callable[..., Path], tmp_path: Path) -> None:
    gripper = np.array([[0.0], [0.6], [0.8], [0.4]])
    segment = make_segment([{"trajectory": np.zeros((4, 6)), "gripper": gripper}])
    flips = _compute(segment, tmp_path, gripper_hysteresis=0.2)["gripper_flip"].to_pylist()
    assert flips == [False, False, True, False]
    flips = _compute(segment, tmp_path, gripper_threshold=0.3)["gripper_flip"].to_pylist()
    assert flips == [False, True, False, False]
    flips = _compute(segment, tmp_path, flip_both_sides=True)["gripper_flip"].to_pylist()
    assert flips == [True, True, True, True]


def test_standardise_is_passed_on(make_segment: Callable[..., Path], tmp_path: Path) -> None:
    poses = np.zeros((4, 6))
    poses[2:, 0], poses[2:, 3] = 0.002, 3.0
    table = _compute(make_segment([{"trajectory": poses}]), tmp_path, standardise=True)
    assert table["acceleration"].to_pylist()[1:3] == [[pytest.approx(np.sqrt(2))]] * 2


def test_standardise_is_passed_on_to_joints(make_segment: Callable[..., Path], tmp_path: Path) -> None:
    joints = _poses([0, 0, 0, 0], [0, 0, 0, 0], [0.002, 3, 5, 0], [0.002, 3, 5, 0])
    table = _compute(make_segment([{"trajectory": joints}], space="joints"), tmp_path, standardise=True)
    # the left arm's two joints deviate as much as each does at large: sqrt(1 + 1); of the right arm one moves
    assert table["acceleration"].to_pylist()[1:3] == [[pytest.approx(np.sqrt(2)), pytest.approx(1)]] * 2


def test_a_segment_of_a_single_frame_has_no_motion(make_segment: Callable[..., Path], tmp_path: Path) -> None:
    table = _compute(make_segment([{"trajectory": np.zeros((1, 6)), "gripper": np.ones((1, 1))}]), tmp_path)
    assert table["acceleration"].to_pylist() == [[NAN]]
    assert table["gripper_open"].to_pylist() == [[True]]


def test_every_arm_needs_joints_where_there_is_no_pose() -> None:
    joints = Arm(name="left", joints=SignalSlice(column="s", start=0, stop=2))
    embodiment = Embodiment(
        name="half",
        description="of two arms one has joints",
        robot_types=("half",),
        relative_actions=False,
        state_size=8,
        arms=(joints, _arm("right", 2)),
    )
    columns = {"episode": ["e"], "frame_index": [0], "timestamp": [0.0], "ee_pose": [None], "gripper": [None]}
    signals = pa.table(
        {**columns, "joints": [[0.0, 0.0]]}, schema=pa.schema([SIGNALS.field(name) for name in [*columns, "joints"]])
    )
    with pytest.raises(ArtifactError, match=r"joints of every arm of half \(joints per arm: \[2, 0\]\)"):
        kinematics_of(KinematicsConfig(), signals, np.array([1]), embodiment)


def test_rows_follow_the_segment(make_segment: Callable[..., Path], tmp_path: Path) -> None:
    segment = make_segment([{"trajectory": np.zeros((length, 6))} for length in (3, 1, 2)])
    table = _compute(segment, tmp_path)
    names = Segment(segment).episodes["episode"].to_pylist()
    assert table["episode"].to_pylist() == [names[0]] * 3 + [names[1]] + [names[2]] * 2
    assert table["frame_index"].to_pylist() == [0, 1, 2, 0, 0, 1]


def _rewritten(segment: Path, folder: Path, column: str, values: pa.Array) -> Path:
    """The one-episode segment with one column replaced."""
    opened, folder = Segment(segment), folder / "rewritten"
    folder.mkdir()
    with SegmentWriter(folder, opened.embodiment, opened.cameras) as writer:
        batch = opened._file.get_batch(0)
        writer.append(batch.set_column(batch.schema.get_field_index(column), column, values), 10.0)
    return folder


@pytest.mark.parametrize(
    ("space", "column", "values", "message"),
    [
        ("pose", "ee_pose", [None, None], "poses of test_pose are missing"),
        ("pose", "ee_pose", [[0.0] * 6, None], "'ee_pose' does not hold 6 numbers on every frame"),
        ("pose", "ee_pose", [[0.0] * 7] * 2, "'ee_pose' does not hold 6 numbers on every frame"),
        ("joints", "joints", [None, None], "neither an end-effector pose nor the joints of every arm of test_joints"),
        ("pose", "gripper", [[0.0, 1.0]] * 2, "'gripper' does not hold 1 numbers on every frame"),
    ],
)
def test_signals_must_be_what_the_embodiment_says(
    make_segment: Callable[..., Path],
    tmp_path: Path,
    space: str,
    column: str,
    values: list[list[float] | None],
    message: str,
) -> None:
    width = 6 if space == "pose" else 4
    segment = make_segment([{"trajectory": np.zeros((2, width)), "gripper": np.zeros((2, 1 + (width == 4)))}], space)
    kind = pa.list_(pa.float32() if column == "gripper" else pa.float64())
    broken = _rewritten(segment, tmp_path, column, pa.array(values, kind))
    with pytest.raises(ArtifactError, match=message):
        _compute(broken, tmp_path / "out")


def test_an_empty_segment_gives_an_empty_table(make_segment: Callable[..., Path], tmp_path: Path) -> None:
    segment = Segment(make_segment([{"trajectory": np.zeros((2, 6))}]))
    folder = tmp_path / "empty"
    folder.mkdir()
    with SegmentWriter(folder, segment.embodiment, segment.cameras) as writer:
        writer.skip(0, "digest", "broken")
    assert _compute(folder, tmp_path).num_rows == 0


@pytest.mark.parametrize(("space", "width", "grippers"), [("pose", 6, 1), ("joints", 4, 2)])
def test_the_output_is_that_of_this_version(
    make_segment: Callable[..., Path],
    table_digest: Digest,
    tmp_path: Path,
    space: str,
    width: int,
    grippers: int,
) -> None:
    rows = np.arange(12)[:, None]
    trajectory = np.sin(rows * (1 + np.arange(width)) / 4)
    gripper = (np.cos(rows * (1 + np.arange(grippers)) / 2) + 1) / 2
    episodes = [{"trajectory": trajectory[:cut], "gripper": gripper[:cut]} for cut in (12, 5, 2)]
    table = _compute(make_segment(episodes, space), tmp_path)
    assert table_digest(table) == GOLDEN["poses" if space == "pose" else "joints"]
