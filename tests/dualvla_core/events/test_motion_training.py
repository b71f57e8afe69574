from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dualvla_core.errors import ConfigError  # noqa: E402
from dualvla_core.events.arm import ArmMotion, arm_velocity  # noqa: E402
from dualvla_core.events.config import DetectorTrainingConfig, MotionNetConfig, Span, TemporalNetConfig  # noqa: E402
from dualvla_core.events.labels import LabelledEpisode  # noqa: E402
from dualvla_core.events.motion_net import boundary_scores  # noqa: E402
from dualvla_core.events.motion_training import (  # noqa: E402
    boundary_lesson,
    hands_of,
    near_boundary,
    train_boundaries,
    train_motion_net,
    turned,
)

NETWORK = TemporalNetConfig(width=8, dilations=(1, 2), dropout=0.1, steps=80, episodes_per_step=8, learning_rate=0.02)
SMALL = MotionNetConfig(odometry=NETWORK, boundaries=NETWORK, members=2)
TRAINING = DetectorTrainingConfig(positive=Span(seconds=0.1, fraction=1))
FPS = 10.0


def _turning(count: int) -> tuple[list[LabelledEpisode], dict[str, np.ndarray], dict[str, ArmMotion]]:
    """Hands that turn round once in 24 to 29 frames, each at a frame of its own, and what a camera sees of that."""
    mixing = np.random.default_rng(0).normal(size=(3, 32))
    episodes, flows, motions = [], {}, {}
    for number in range(count):
        name, length, turn = f"e{number}", 24 + number % 6, 6 + number % 11
        places = np.cumsum(np.where(np.arange(length) < turn, 0.02, -0.02))[:, None] * [[1.0, 0.5, 0.2]]
        motions[name] = ArmMotion(places, np.arange(length) / FPS, hands=1)
        flows[name] = (arm_velocity(motions[name])[:, :3] @ mixing).astype(np.float32)
        episodes.append(LabelledEpisode(name, name, "t", length, FPS, (turn,)))
    return episodes, flows, motions


def test_it_reads_the_arm_and_learns_where_the_motion_turns() -> None:
    episodes, flows, motions = _turning(30)
    calls: list[tuple[int, int]] = []
    trained = train_motion_net(SMALL, TRAINING, episodes[:20], flows, motions, lambda *call: calls.append(call))
    assert calls == [(step, 480) for step in range(1, 481)]
    assert trained.coordinates == 3
    recorded = np.vstack([arm_velocity(motions[each.episode])[:, :3] for each in episodes[:20]])
    for network in trained.network.odometry:
        np.testing.assert_allclose(network.get_buffer("unit"), recorded.std(0), rtol=1e-4)
    for each in episodes[20:]:
        recorded = arm_velocity(motions[each.episode])[:, :3]
        np.testing.assert_allclose(trained.network.velocity(flows[each.episode]), recorded, atol=0.07)  # of 0.2 m/s
        scores = trained.network.score(flows[each.episode])
        assert abs(int(scores.argmax()) - each.boundaries[0]) <= 1
        assert np.delete(scores, range(each.boundaries[0] - 3, each.boundaries[0] + 4)).max() < scores.max() / 2


def test_boundaries_are_found_on_a_table_that_faces_another_way() -> None:
    episodes, _, motions = _turning(30)
    velocities = {name: arm_velocity(motion) for name, motion in motions.items()}
    networks = train_boundaries(SMALL, TRAINING, episodes[:20], velocities, hands=1).networks
    for each in episodes[20:]:
        motion = motions[each.episode]
        along_y = motion._replace(places=motion.places[:, [1, 0, 2]] * [-1, 1, 1])
        assert abs(int(boundary_scores(networks, arm_velocity(along_y)).argmax()) - each.boundaries[0]) <= 1


def test_boundaries_weigh_as_they_are_rare() -> None:
    episode = LabelledEpisode("e", "e", "t", 24, FPS, (1, 12))  # 3 of 24 frames near each: 18 to 6
    lesson = boundary_lesson(SMALL, TRAINING, [episode], {"e": np.zeros((24, 2), np.float32)}, hands=0)
    errors = lesson.error(torch.zeros(24, 1), lesson.wanted[0])
    expected = [np.log(2) * (3**0.5 if wanted else 1) for wanted in lesson.wanted[0]]
    np.testing.assert_allclose(errors[:, 0], expected, rtol=1e-6)


def test_half_of_what_is_seen_is_turned_and_all_of_it_noisy() -> None:
    episode = LabelledEpisode("e", "e", "t", 400, FPS, (50,))
    velocity = np.random.default_rng(0).normal(size=(400, 4)).astype(np.float32) * [1, 1, 1, 0.1]
    motion = {"e": velocity.astype(np.float32)}
    torch.manual_seed(0)
    lesson = boundary_lesson(SMALL.model_copy(update={"noise": 0.0}), TRAINING, [episode], motion, hands=1)
    seen = [lesson.varied(lesson.inputs[0]) for _ in range(200)]
    same = sum(bool(torch.equal(each, lesson.inputs[0])) for each in seen)
    assert 70 < same < 130
    for each in seen:  # heights stay, and so does the speed across the table
        assert torch.equal(each[:, 2:], lesson.inputs[0][:, 2:])
        torch.testing.assert_close(each[:, :2].norm(dim=1), lesson.inputs[0][:, :2].norm(dim=1))
    noisy = boundary_lesson(SMALL, TRAINING, [episode], motion, hands=0)
    off = (noisy.varied(noisy.inputs[0]) - noisy.inputs[0]).std(0) / noisy.inputs[0].std(0)
    np.testing.assert_allclose(off, [SMALL.noise] * 4, rtol=0.15)


def test_turning_by_hand() -> None:
    velocity = torch.tensor([[1.0, 2, 3, 5, 7, 11, 0.5, 9]])  # two hands, fingers, speed
    quarter = turned(velocity, 2, turn=0.25, side=0.5)
    torch.testing.assert_close(quarter, torch.tensor([[-2.0, 1, 3, -7, 5, 11, 0.5, 9]]))
    mirrored = turned(velocity, 2, turn=0.0, side=0.49)
    torch.testing.assert_close(mirrored, torch.tensor([[1.0, -2, 3, 5, -7, 11, 0.5, 9]]))
    assert torch.equal(turned(velocity, 0, turn=0.3, side=0.1), velocity)  # joints do not turn
    assert velocity[0, 0] == 1


def test_near_a_boundary_by_hand() -> None:
    episode = LabelledEpisode("e", "e", "t", 8, 10.0, (1, 6))
    assert near_boundary(TRAINING, episode).tolist() == [1, 1, 1, 0, 0, 1, 1, 1]
    assert near_boundary(TRAINING, episode._replace(boundaries=())).tolist() == [0] * 8


@pytest.mark.parametrize("boundaries", [(), tuple(range(24))])
def test_there_is_something_to_learn_or_it_says_so(boundaries: tuple[int, ...]) -> None:
    episode = LabelledEpisode("e", "e", "t", 24, 10.0, boundaries)
    with pytest.raises(
        ConfigError, match=f"Of the 24 frames of the 1 episodes to learn from {len(boundaries)} are near"
    ):
        train_boundaries(SMALL, TRAINING, [episode], {"e": np.zeros((24, 2), np.float32)}, hands=0)


def test_arms_of_two_kinds_are_not_learned_from_together() -> None:
    episodes, flows, motions = _turning(2)
    assert hands_of(episodes, motions) == 1
    assert hands_of([], motions) == 0
    motions["e1"] = motions["e1"]._replace(hands=0)
    with pytest.raises(ConfigError, match=r"2 kinds of arms.*episodes of one robot"):
        train_motion_net(SMALL, TRAINING, episodes, flows, motions)
