from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualvla_core.pruning.baselines import RULES, Evidence
from dualvla_core.pruning.config import Rule


def _evidence(scene: str, action: str, keep_first_frame: bool = False, seed: int = 0, name: str = "a") -> Evidence:
    scene_labels, action_labels = (np.array([letter == "1" for letter in text]) for text in (scene, action))
    return Evidence(name, scene_labels, action_labels, keep_first_frame, seed)


@pytest.mark.parametrize(
    ("rule", "expected", "with_first_frame"),
    [
        ("dual", "00010", "10010"),
        ("scene_only", "00110", "10110"),
        ("action_only", "01011", "11011"),
        ("none", "11111", "11111"),
        ("uniform", "10000", "10100"),
    ],
)
def test_rules_by_hand(rule: Rule, expected: str, with_first_frame: str) -> None:
    for keep_first_frame, kept in ((False, expected), (True, with_first_frame)):
        evidence = _evidence("00110", "01011", keep_first_frame)
        assert "".join(str(int(bit)) for bit in RULES[rule](evidence)) == kept


def test_uniform_frames_are_evenly_spaced() -> None:
    kept = RULES["uniform"](_evidence("1111000000", "1111111111"))
    assert np.flatnonzero(kept).tolist() == [0, 2, 5, 7]


labels = st.integers(1, 40).flatmap(lambda n: st.tuples(*[st.text("01", min_size=n, max_size=n)] * 2))


@given(labels, st.booleans(), st.integers(0, 2**40), st.sampled_from(["random", "uniform"]))
def test_baselines_keep_as_many_frames_as_the_dual_rule(
    bits: tuple[str, str], keep_first_frame: bool, seed: int, rule: Rule
) -> None:
    evidence = _evidence(*bits, keep_first_frame, seed)
    kept = RULES[rule](evidence)
    assert kept.sum() == RULES["dual"](evidence).sum()
    assert kept[0] or not keep_first_frame


def test_the_draw_depends_on_seed_and_episode_only() -> None:
    def draw(**changes: object) -> list[bool]:
        evidence = _evidence("1" * 12 + "0" * 20, "1" * 32)._replace(**changes)  # type: ignore[arg-type]
        kept: list[bool] = RULES["random"](evidence).tolist()
        return kept

    assert draw() == draw()
    assert draw() != draw(seed=1)
    assert draw() != draw(episode="b")


def test_a_forced_first_frame_is_never_left_to_the_draw() -> None:
    for seed in range(20):
        drawn = RULES["random"](_evidence("000000", "000000", keep_first_frame=True, seed=seed))
        assert np.flatnonzero(drawn).tolist() == [0]


def test_the_draw_is_even() -> None:
    counts = np.sum([RULES["random"](_evidence("11000", "11000", seed=seed)) for seed in range(1000)], axis=0)
    assert counts.sum() == 2000
    assert (np.abs(counts - 400) < 80).all()  # five standard deviations


def test_inputs_are_left_alone() -> None:
    evidence = _evidence("0000", "0000", keep_first_frame=True)
    for rule in RULES.values():
        rule(evidence)
    assert not evidence.scene.any()
    assert not evidence.action.any()


def test_the_draw_is_the_one_it_has_always_been() -> None:
    """What was drawn before must be drawn again: NumPy's PCG64, seeded with [seed, first 8 bytes of SHA-256(name)]."""
    identities = {"a": 0xCA978112CA1BBDCA, "b": 0x3E23E8160039594A}  # SHA-256 of one letter, as printed everywhere
    for name, seed, expected in (("a", 0, [0, 2, 5, 9]), ("b", 3, [5, 7, 8, 11])):
        drawn = RULES["random"](_evidence("1111" + "0" * 8, "1" * 12, seed=seed, name=name))
        assert np.flatnonzero(drawn).tolist() == expected
        again = np.random.default_rng([seed, identities[name]]).permutation(12)[:4]
        assert sorted(again.tolist()) == expected
