from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from dualvla_core.episodes.embodiment import (
    Arm,
    EePose,
    Embodiment,
    Gripper,
    SignalSlice,
    load_embodiments,
    match_embodiment,
    read_embodiment,
)
from dualvla_core.errors import ConfigError

STATE = "observation.state"


def test_every_shipped_embodiment_loads_under_its_file_name() -> None:
    assert set(load_embodiments()) == {
        "aloha", "franka_droid", "franka_droid_rlds", "franka_libero", "franka_robomimic", "google_robot",
        "google_robot_rlds", "gr1", "metaworld_sawyer", "simpler_google_robot", "simpler_widowx", "unitree_g1",
        "widowx_bridge", "widowx_bridge_rlds",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "joints", "grippers", "has_pose"),
    [
        ("metaworld_sawyer", (0,), 1, True),
        ("aloha", (6, 6), 2, False),
        ("unitree_g1", (7, 7), 0, False),
        ("gr1", (7, 7), 0, False),
        ("franka_droid", (7,), 1, True),
    ],
)
def test_arms_joints_and_grippers(name: str, joints: tuple[int, ...], grippers: int, has_pose: bool) -> None:
    embodiment = load_embodiments()[name]
    assert (embodiment.joints_per_arm, embodiment.grippers, embodiment.has_ee_pose) == (joints, grippers, has_pose)


@pytest.mark.parametrize(
    ("robot_type", "size", "expected"),
    [
        ("Unitree_G1_Inspire", 26, "unitree_g1"),
        ("GR1ArmsOnly", 44, "gr1"),
        ("ALOHA", 14, "aloha"),
        ("aloha", 16, "generic_joints"),
        ("so100", 6, "generic_joints"),
        (None, 3, "generic_joints"),
    ],
)
def test_match_is_by_robot_type_and_size(robot_type: str | None, size: int, expected: str) -> None:
    assert match_embodiment(robot_type, {STATE: size}).name == expected


def test_generic_embodiment_reads_the_whole_state_and_says_what_it_does_not_see() -> None:
    embodiment = match_embodiment("so100", {STATE: 6})
    assert embodiment.joints_per_arm == (6,)
    assert embodiment.grippers == 0
    assert "'so100'" in embodiment.description
    assert "gripper changes are not seen" in embodiment.description


def test_franka_without_the_pose_column_is_generic() -> None:
    assert match_embodiment("Franka", {STATE: 8}).name == "generic_joints"
    pose = {STATE: 8, "observation.state.cartesian_position": 6}
    assert match_embodiment("Franka", pose).name == "franka_droid"


def test_nothing_to_read_generically_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no column 'observation.state'.*state.joints.*embodiment file"):
        match_embodiment("Franka", {"state.joints": 7})


def test_override_by_name_and_by_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    described = {**load_embodiments()["aloha"].model_dump(mode="json"), "name": "mine"}
    file.write_text(yaml.safe_dump(described))
    assert match_embodiment("unknown", {STATE: 14}, "aloha").name == "aloha"
    assert match_embodiment("aloha", {STATE: 14}, str(file)).name == "mine"
    assert match_embodiment("aloha", {STATE: 14}, file).name == "mine"


@pytest.mark.parametrize(
    ("override", "features", "sentence"),
    [
        ("nobody", {STATE: 14}, r"no embodiment 'nobody'; give one of \['aloha'"),
        ("aloha", {STATE: 12}, "holds 12 numbers, at least 14 are needed"),
        ("aloha", {STATE: 15}, "holds 15 numbers, expected 14"),
        ("aloha", {"state": 14}, "it has no column 'observation.state'"),
        ("absent.yaml", {STATE: 14}, r"no embodiment file absent.yaml; known names are"),
    ],
)
def test_override_that_cannot_be_used(override: str, features: dict[str, int], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        match_embodiment("aloha", features, override)


def test_broken_embodiment_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text("name: x\narms: []\n")
    with pytest.raises(ConfigError, match=r"broken.yaml cannot be used.*arms"):
        read_embodiment(file)


def test_columns_are_needed_up_to_the_last_number_read() -> None:
    assert load_embodiments()["franka_droid"].columns == {STATE: 8, "observation.state.cartesian_position": 6}
    free = Embodiment(
        name="x",
        description="x",
        robot_types=(),
        relative_actions=False,
        arms=(Arm(name="a", gripper=Gripper(column="g", index=2, closed_value=0, open_value=1)),),
    )
    assert free.columns == {STATE: 1, "g": 3}


def slice_of(size: int) -> SignalSlice:
    return SignalSlice(column=STATE, start=0, stop=size)


def test_contradictions_are_refused() -> None:
    with pytest.raises(ValidationError, match="is empty"):
        SignalSlice(column=STATE, start=3, stop=3)
    with pytest.raises(ValidationError, match="a position has 3 numbers, the slice holds 2"):
        EePose(position=slice_of(2))
    with pytest.raises(ValidationError, match="'quaternion_xyzw' has 4 numbers, the slice holds 3"):
        EePose(position=slice_of(3), rotation=slice_of(3), rotation_format="quaternion_xyzw")
    with pytest.raises(ValidationError, match="are both 1"):
        Gripper(column=STATE, index=0, closed_value=1, open_value=1)
    with pytest.raises(ValidationError, match="do not have names of their own"):
        Embodiment(name="x", description="x", robot_types=(), relative_actions=True, arms=(Arm(name="a"),) * 2)
