from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest

from dualvla_core.errors import ConfigError, DependencyError
from dualvla_core.simulation.environment import THIRD_PERSON, WRIST, Environment
from dualvla_core.simulation.metaworld import MetaWorldEnvironment, ScriptedExpert


@pytest.fixture(scope="module")
def drawer(simulator: None) -> Iterator[MetaWorldEnvironment]:
    environment = MetaWorldEnvironment("drawer-open", 64, 32)
    yield environment
    environment.close()


def test_a_seed_names_an_initial_condition_whatever_came_before(drawer: MetaWorldEnvironment) -> None:
    drawer.reset(7)
    first = drawer.observe()
    drawer.reset(8)
    other = drawer.observe()
    drawer.step(np.array([1, 1, 1, 1], np.float32))
    drawer.reset(7)
    again = drawer.observe()

    np.testing.assert_array_equal(again.state, first.state)
    for camera in (THIRD_PERSON, WRIST):
        np.testing.assert_array_equal(again.images[camera], first.images[camera])
    np.testing.assert_array_equal(again.objects["handle"], first.objects["handle"])
    assert abs(other.objects["handle"][0] - first.objects["handle"][0]) > 1e-3


def test_the_first_image_shows_the_drawer_where_it_is(drawer: MetaWorldEnvironment) -> None:
    columns = []
    for seed in (7, 8):
        drawer.reset(seed)
        moment = drawer.observe()
        image = moment.images[THIRD_PERSON].astype(int)
        green = (image[..., 1] > image[..., 0] + 20) & (image[..., 1] > image[..., 2] + 20)
        expected = drawer.third_person.project(moment.objects["drawer"])
        rows, cols = np.nonzero(green)
        np.testing.assert_allclose([cols.mean() / 64, rows.mean() / 64], expected[:2], atol=0.06)
        columns.append(cols.mean())
    assert columns[0] != columns[1]


def test_an_observation_holds_images_state_and_ground_truth(drawer: MetaWorldEnvironment) -> None:
    environment: Environment = drawer
    environment.reset(3)
    moment = environment.observe()
    assert moment.images[THIRD_PERSON].shape == (64, 64, 3)
    assert moment.images[WRIST].shape == (32, 32, 3)
    assert moment.state.dtype == np.float32
    assert set(moment.objects) == {"gripper", "handle", "drawer"}
    np.testing.assert_allclose(moment.state[3:6], 0, atol=0.1)  # points down, hence small angles
    assert moment.state[6] == pytest.approx(1, abs=0.02)
    assert not moment.success


def test_actions_move_the_hand_along_the_axes_and_close_the_fingers(drawer: MetaWorldEnvironment) -> None:
    for axis in range(3):
        drawer.reset(3)
        start = drawer.observe().state
        for _ in range(15):
            drawer.step(np.eye(4, dtype=np.float32)[axis])
        change = drawer.observe().state - start
        assert int(np.argmax(np.abs(change[:3]))) == axis
        assert change[axis] > 0.03
    drawer.reset(3)
    for _ in range(40):
        drawer.step(np.array([0, 0, 0, 1], np.float32))
    assert drawer.observe().state[6] < 0.05


def test_the_expert_opens_the_drawer(drawer: MetaWorldEnvironment) -> None:
    expert = ScriptedExpert("drawer-open")
    drawer.reset(1000)
    before = drawer.observe().objects["handle"]
    steps = 0
    while not drawer.success and steps < 150:
        drawer.step(expert.act(drawer.privileged))
        steps += 1
    assert steps < 120
    assert before[1] - drawer.observe().objects["handle"][1] > 0.15
    drawer.reset(1000)
    assert not drawer.success


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(ConfigError, match="no simulated task 'juggle'"):
        MetaWorldEnvironment("juggle")


def test_a_missing_simulator_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "metaworld.env_dict", None)
    with pytest.raises(DependencyError, match=r"dualvla\[simulation\].*libosmesa6"):
        MetaWorldEnvironment("reach")
