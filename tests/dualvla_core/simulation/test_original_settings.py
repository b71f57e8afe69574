"""Episode counts and scenes of SimplerEnv's scripts, worked out by hand from them."""

from __future__ import annotations

import math
from typing import get_args

import pytest
from pydantic import ValidationError

from dualvla_core.evaluation.config import TrialConfig
from dualvla_core.evaluation.paper_tables import TASK_COLUMNS, published_table
from dualvla_core.simulation.config import RecordConfig
from dualvla_core.simulation.original_settings import column_of
from dualvla_core.simulation.scenes import OriginalTask

EPISODES = {
    "original_pick_can_vm": 4 * 3 * 25,
    "original_pick_can_va": 9 * 3 * 25,
    "original_move_near_vm": 4 * 60,
    "original_move_near_va": 8 * 60,
    "original_drawer_vm": 4 * 6 * 9,
    "original_drawer_va": 7 * 6 * 9,
    "original_spoon_on_towel": 24,
    "original_carrot_on_plate": 24,
    "original_stack_cube": 24,
}


def test_every_column_has_the_paper_s_episodes_and_no_two_alike() -> None:
    assert set(get_args(OriginalTask)) == set(EPISODES)
    for task, count in EPISODES.items():
        settings = column_of(task).settings
        assert len(settings) == count, task
        assert len({setting.model_dump_json() for setting in settings}) == count, task


def test_every_column_of_the_paper_is_a_task() -> None:
    assert {TASK_COLUMNS[task] for task in EPISODES} == set(published_table("simpler_env").columns)


def test_places_count_fastest_then_variants() -> None:
    settings = column_of("original_pick_can_vm").settings
    assert settings[0].object_xy == (-0.35, -0.02)
    assert settings[1].object_xy == pytest.approx((-0.35, 0.09))
    assert settings[5].object_xy == pytest.approx((-0.2925, -0.02))
    assert [settings[number].build for number in (0, 25, 75)] == [
        {"urdf_version": None, "lr_switch": True},
        {"urdf_version": None, "upright": True},
        {"urdf_version": "recolor_tabletop_visual_matching_1", "lr_switch": True},
    ]


def test_a_choice_replaces_what_it_names_and_adds_to_what_is_built() -> None:
    settings = column_of("original_drawer_vm").settings
    assert (settings[8].environment, settings[8].overlay) == ("OpenTopDrawerCustomInScene-v0", "open_drawer_c2.png")
    assert (settings[8].robot_xy, settings[8].yaw) == ((0.865, 0.222), -0.025)
    assert settings[8].build["station_name"] == "mk_station_recolor"
    assert column_of("original_drawer_va").settings[-1].build == {"shader_dir": "rt", "station_name": "mk_station3"}
    assert column_of("original_drawer_va").settings[-1].environment == "CloseBottomDrawerCustomInScene-v0"


def test_the_robot_is_turned_from_half_a_turn() -> None:
    setting = column_of("original_move_near_vm").settings[59]
    assert setting.object_episode == 59
    # the rotations by -0.09 rad and by pi about the same axis, one after the other: an angle of pi - 0.09
    half = (math.pi - 0.09) / 2
    assert setting.orientation == pytest.approx((math.cos(half), 0, 0, math.sin(half)))


def test_more_episodes_than_there_are_is_refused() -> None:
    trials = {"benchmark": "simpler_original", "tasks": ("original_drawer_vm",), "first_seed": 0}
    assert TrialConfig(**trials, episodes_per_task=216).episodes[-1] == ("original_drawer_vm", 215)
    with pytest.raises(ValidationError, match="original_drawer_vm has 216 episodes, and seeds 0 to 216 were asked for"):
        TrialConfig(**trials, episodes_per_task=217)


def test_nothing_is_recorded_there() -> None:
    with pytest.raises(ValidationError, match="'original_stack_cube' can only be played"):
        RecordConfig(tasks=("original_stack_cube",))
