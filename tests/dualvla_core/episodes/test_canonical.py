from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from dualvla_core.episodes.canonical import canonical_signals, matrix, relative_times
from dualvla_core.episodes.embodiment import (
    Arm,
    EePose,
    Embodiment,
    Gripper,
    SignalSlice,
    load_embodiments,
    match_embodiment,
)
from dualvla_core.errors import EpisodeError
from dualvla_core.schemas import SIGNALS, check_schema

STATE = "observation.state"


def columns(**arrays: pa.Array) -> pa.Table:
    return pa.table({name.replace("__", "."): array for name, array in arrays.items()})


def signals(table: pa.Table, embodiment: Embodiment) -> pa.Table:
    return canonical_signals(table, embodiment, np.arange(table.num_rows) / 10, ["go"] * table.num_rows, None)


def test_pose_and_gripper_of_one_arm() -> None:
    state = pa.array([[1.0, 2, 3, 0.1, 0.2, 0.3, 0.25], [4, 5, 6, 0.4, 0.5, 0.6, 1.5]])
    table = signals(columns(observation__state=state, action=state), load_embodiments()["metaworld_sawyer"])
    check_schema(table.schema, SIGNALS, "test")
    np.testing.assert_allclose(table["ee_pose"][1].as_py(), [4, 5, 6, 0.4, 0.5, 0.6], atol=1e-7)
    assert table["gripper"].to_pylist() == [[0.25], [1.0]]  # clipped
    assert table["joints"].null_count == 2
    assert table["action"][0].as_py()[:3] == [1, 2, 3]
    assert table["episode"].to_pylist() == ["", ""]
    assert table["frame_index"].to_pylist() == [0, 1]


def test_arm_after_arm() -> None:
    table = signals(columns(observation__state=pa.array([list(map(float, range(14)))])), load_embodiments()["aloha"])
    assert table["joints"][0].as_py() == [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12]
    assert table["gripper"][0].as_py() == [1, 1]
    assert table["ee_pose"].null_count == 1
    assert table["action"].null_count == 1


HALF = np.sqrt(0.5)
DROID = ([1.0, 2, 3, 0.1, 0.2, 0.3], [0.0, 1, 2, 3, 4, 5, 6])


@pytest.mark.parametrize(
    ("robot_type", "name", "row", "pose", "gripper"),
    [
        (
            "franka",
            "franka_droid",
            {"observation.state.cartesian_position": DROID[0], STATE: [*DROID[1], 0.25], "action": [0.5] * 8},
            DROID[0],
            0.75,
        ),
        (
            "droid",
            "franka_droid_rlds",
            {
                "observation.cartesian_position": DROID[0],
                "observation.joint_position": DROID[1],
                "observation.gripper_position": [0.25],
                "action_dict.joint_position": [0.5] * 7,
                "action_dict.gripper_position": [0.5],
            },
            DROID[0],
            0.75,
        ),
        (
            "google_robot",
            "google_robot",
            {STATE: [1, 2, 3, 0, 0, HALF, HALF, 0.25], "action": [0.5] * 7},
            [1, 2, 3, 0, 0, np.pi / 2],
            0.75,
        ),
        *(
            (
                kind,
                kind,
                {STATE: [1, 2, 3, HALF, 0, 0, HALF, 0.25], "action": [0.5] * 7},
                [1, 2, 3, 0, 0, np.pi / 2],
                0.25,
            )
            for kind in ("simpler_google_robot", "simpler_widowx")
        ),
    ],
)
def test_robots_whose_data_is_not_here(
    robot_type: str, name: str, row: dict[str, list[float]], pose: list[float], gripper: float
) -> None:
    """By what their datasets document; the hand points a quarter turn to the left."""
    embodiment = match_embodiment(robot_type, {column: len(values) for column, values in row.items()})
    assert embodiment.name == name
    found = signals(pa.table({column: [values] for column, values in row.items()}), embodiment)
    np.testing.assert_allclose(found["ee_pose"][0].as_py(), pose, atol=1e-6)
    assert found["gripper"][0].as_py() == pytest.approx([gripper])
    assert set(found["action"][0].as_py()) == {0.5}
    assert found["joints"][0].as_py() == (DROID[1] if "droid" in name else None)


def test_a_pose_without_orientation_has_zero_angles_and_a_reversed_gripper_is_turned_round() -> None:
    pose = EePose(position=SignalSlice(column="xyz", start=0, stop=3))
    gripper = Gripper(column="grip", index=0, closed_value=0.8, open_value=0.0)
    arm = Arm(name="arm", ee_pose=pose, gripper=gripper)
    embodiment = Embodiment(name="x", description="x", robot_types=(), relative_actions=True, arms=(arm,))
    table = columns(observation__state=pa.array([1.0]), xyz=pa.array([[1.0, 2, 3]]), grip=pa.array([0.2]))
    found = signals(table, embodiment)
    assert found["ee_pose"][0].as_py() == [1, 2, 3, 0, 0, 0]
    assert found["gripper"][0].as_py() == pytest.approx([0.75])


def test_stored_precision_does_not_matter() -> None:
    state = np.random.default_rng(0).normal(size=(3, 7))
    kinds = [pa.list_(pa.float64()), pa.list_(pa.float32()), pa.list_(pa.float32(), 7), pa.large_list(pa.float64())]
    found = [
        signals(columns(observation__state=pa.array(state.tolist(), kind)), load_embodiments()["metaworld_sawyer"])
        for kind in kinds
    ]
    assert all(table.equals(found[0]) for table in found)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (pa.array([[1.0], None]), "1 rows without a value"),
        (pa.array([[1.0], [1.0, 2.0]]), "rows of different lengths"),
        (pa.array(["a", "b"]), "holds string, expected numbers"),
        (pa.array([[1.0], [float("nan")]]), "NaN or infinity in 1 rows, first in row 1"),
        (pa.array([[float("inf")], [1.0]]), "first in row 0"),
        (pa.array([[1e39], [1.0]]), "first in row 0"),
        (pa.array([[1], [None]]), "first in row 1"),
    ],
)
def test_values_that_cannot_be_used(values: pa.Array, sentence: str) -> None:
    with pytest.raises(EpisodeError, match=sentence):
        matrix(pa.chunked_array([values]), "x")


def test_scalar_and_boolean_columns_are_one_wide() -> None:
    assert matrix(pa.chunked_array([pa.array([True, False])]), "x").tolist() == [[1], [0]]


def test_an_episode_that_does_not_fit_is_refused() -> None:
    sawyer = load_embodiments()["metaworld_sawyer"]
    with pytest.raises(EpisodeError, match="no frames"):
        signals(columns(observation__state=pa.array([], pa.list_(pa.float32()))), sawyer)
    with pytest.raises(EpisodeError, match=r"lacks the column 'observation.state'"):
        signals(columns(action=pa.array([[1.0]])), sawyer)
    with pytest.raises(EpisodeError, match="holds 6 numbers"):
        signals(columns(observation__state=pa.array([[1.0] * 6])), sawyer)
    with pytest.raises(EpisodeError, match="quaternion of length 0"):
        signals(columns(observation__state=pa.array([[0.0] * 8])), load_embodiments()["google_robot"])


def test_a_regular_clock_is_exact_and_starts_at_zero() -> None:
    recorded = (np.arange(100) * 0.05 + 0.05).astype(np.float32).astype(np.float64)
    assert relative_times(recorded, 20, 100).tolist() == (np.arange(100) / 20).tolist()
    assert relative_times(None, 20, 3).tolist() == [0, 0.05, 0.1]


def test_a_clock_that_deviates_is_kept() -> None:
    np.testing.assert_allclose(relative_times(np.array([5.0, 5.13, 5.2]), 10, 3), [0, 0.13, 0.2], atol=1e-9)


@pytest.mark.parametrize(
    ("recorded", "sentence"), [([0.0, 0.3, 0.2], "do not increase from row 1"), ([0.0, np.nan, 1.0], "NaN or infinity")]
)
def test_a_clock_that_cannot_be_used(recorded: list[float], sentence: str) -> None:
    with pytest.raises(EpisodeError, match=sentence):
        relative_times(np.array(recorded), 10, 3)


def test_units_become_metres_and_radians() -> None:
    pose = EePose(
        position=SignalSlice(column="hand", start=0, stop=3),
        position_unit="mm",
        rotation=SignalSlice(column="hand", start=3, stop=6),
        rotation_format="euler_xyz",
        angle_unit="deg",
    )
    arm = Arm(name="arm", ee_pose=pose, joints=SignalSlice(column=STATE, start=0, stop=2), joint_unit="deg")
    embodiment = Embodiment(name="x", description="x", robot_types=(), relative_actions=False, arms=(arm,))
    table = columns(observation__state=pa.array([[180.0, -90]]), hand=pa.array([[500.0, 0, -20, 90, 0, 45]]))
    found = signals(table, embodiment)
    assert found["ee_pose"][0].as_py() == pytest.approx([0.5, 0, -0.02, np.pi / 2, 0, np.pi / 4])
    assert found["joints"][0].as_py() == pytest.approx([np.pi, -np.pi / 2])
    assert found["state"][0].as_py() == [180, -90]  # raw, as recorded


def test_joined_columns_are_columns_like_any_other() -> None:
    joined = {
        STATE: (SignalSlice(column="finger", start=1, stop=2), SignalSlice(column="joint", start=0, stop=2)),
        "action": (SignalSlice(column="command", start=0, stop=1), SignalSlice(column="finger", start=0, stop=1)),
    }
    gripper = Gripper(column=STATE, index=0, closed_value=0, open_value=4)
    arm = Arm(name="arm", joints=SignalSlice(column=STATE, start=1, stop=3), gripper=gripper)
    embodiment = Embodiment(
        name="x", description="x", robot_types=(), relative_actions=False, state_size=3, joined=joined, arms=(arm,)
    )
    assert (embodiment.columns, embodiment.action_columns) == ({"finger": 2, "joint": 2}, {"command": 1, "finger": 1})
    parts = {"finger": pa.array([[9.0, 1]]), "joint": pa.array([[5.0, 6]])}
    found = signals(pa.table({**parts, "command": pa.array([7.0])}), embodiment)
    assert found["state"][0].as_py() == [1, 5, 6]
    assert found["action"][0].as_py() == [7, 9]
    assert found["joints"][0].as_py() == [5, 6]
    assert found["gripper"][0].as_py() == [0.25]
    assert signals(pa.table(parts), embodiment)["action"].null_count == 1
    assert embodiment.misfit({"finger": 2, "joint": 1}) == "its column 'joint' holds 1 numbers, at least 2 are needed"
    short = embodiment.model_copy(update={"joined": {STATE: joined[STATE][:1]}})
    reason = "the joined column 'observation.state' has 1 numbers, at least 3 are needed"
    assert short.misfit({"finger": 2, "joint": 2}) == reason
