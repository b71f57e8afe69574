from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualvla_core.events.config import Span
from dualvla_core.pruning import decide as sentences
from dualvla_core.pruning.config import PruningConfig, Rule, SceneLabel
from dualvla_core.pruning.decide import SegmentEvidence, decide, reasoning_words
from dualvla_core.schemas import DECISIONS, REASONING

NAN = np.nan
SENTENCES = {value for name, value in vars(sentences).items() if name.startswith(("KEPT_", "DROPPED_"))}
RULES: tuple[Rule, ...] = get_args(Rule)
ONE_FRAME = Span(seconds=1.0, fraction=1.0)  # at 1 Hz


@pytest.fixture
def evidence() -> SegmentEvidence:
    """Eight frames at 1 Hz with boundaries at 2 and 6; mean acceleration 2; a flip at 5, within reach of 6."""
    return SegmentEvidence(
        episodes=["a"],
        lengths=np.array([8]),
        fps=np.array([1.0]),
        scores=np.array([0, 0.25, 0.75, 0.25, 0, 0.25, 0.5, 0], np.float32),
        acceleration=np.array([[NAN], [3], [1], [4], [3], [0.5], [0.5], [NAN]]),
        gripper_flip=np.array([0, 0, 0, 0, 0, 1, 0, 0], np.bool_),
        gripper_open=pa.array([[True]] * 5 + [[False]] * 3),
        reasoning=pa.array([[{"style": "plan", "content": "go on"}]] * 7 + [None], REASONING),
    )


def _decide(evidence: SegmentEvidence, **params: object) -> pa.Table:
    return decide(PruningConfig(peak_scope=ONE_FRAME, scene_tolerance=ONE_FRAME, **params), evidence)


def test_the_dual_rule_by_hand(evidence: SegmentEvidence) -> None:
    table = _decide(evidence)
    assert table.schema.equals(DECISIONS)
    assert table["scene_label"].to_pylist() == [False, True, True, True, False, True, True, True]
    assert table["action_label"].to_pylist() == [False, True, False, True, True, True, False, False]
    assert table["keep"].to_pylist() == [False, True, False, True, False, True, False, False]
    assert table["rule"].to_pylist() == [
        "dropped: no event boundary and steady motion",
        "kept: event boundary and acceleration",
        "dropped: steady motion",
        "kept: event boundary and acceleration",
        "dropped: no event boundary",
        "kept: event boundary and gripper transition",
        "dropped: steady motion",
        "dropped: steady motion",
    ]


def test_baselines_tell_their_verdicts_in_words(evidence: SegmentEvidence) -> None:
    # the dual rule keeps three of eight: evenly spaced, frames 0, 2 and 5
    assert _decide(evidence, rule="uniform")["rule"].to_pylist() == [
        "kept: evenly spaced" if frame in (0, 2, 5) else "dropped: between evenly spaced frames" for frame in range(8)
    ]
    drawn = _decide(evidence, rule="random")
    told = ["kept: drawn at random" if kept else "dropped: not drawn at random" for kept in drawn["keep"].to_pylist()]
    assert drawn["rule"].to_pylist() == told
    assert sum(drawn["keep"].to_pylist()) == 3
    first = _decide(evidence, rule="random", keep_first_frame=True)["rule"].to_pylist()
    assert first[0] == "kept: first frame"


def test_the_numbers_behind_the_verdict(evidence: SegmentEvidence) -> None:
    table = _decide(evidence)
    assert table["boundary_score"].to_pylist() == [0, 0.25, 0.75, 0.25, 0, 0.25, 0.5, 0]
    assert table["boundary_threshold"].to_pylist() == [0.5] * 8
    assert table["boundary_distance"].to_pylist() == [2, 1, 0, 1, 2, 1, 0, 1]
    assert table["acceleration"].to_pylist() == [None, 3, 1, 4, 3, 0.5, 0.5, None]
    assert table["acceleration_mean"].to_pylist() == [None] + [2] * 6 + [None]
    assert table["gripper_flip"].to_pylist() == [False] * 5 + [True] + [False] * 2
    assert table["gripper_before"].to_pylist() == [None] + [[True]] * 5 + [[False]] * 2
    assert table["gripper_after"].to_pylist() == [[True]] * 5 + [[False]] * 3
    assert table["has_reasoning"].to_pylist() == [True] * 7 + [False]
    assert table["reasoning_words"].to_pylist() == [2] * 7 + [0]


def test_without_a_boundary_there_is_no_distance_and_nothing_is_kept(evidence: SegmentEvidence) -> None:
    table = _decide(evidence, boundary_threshold=0.9)
    assert table["boundary_distance"].null_count == 8
    assert not any(table["keep"].to_pylist())


def test_gripper_states_do_not_come_from_another_episode(evidence: SegmentEvidence) -> None:
    table = _decide(evidence._replace(episodes=["a", "b"], lengths=np.array([5, 3]), fps=np.array([1.0, 1.0])))
    assert table["gripper_before"].to_pylist() == [None] + [[True]] * 4 + [None] + [[False]] * 2


def test_without_gripper_there_is_no_gripper_state(evidence: SegmentEvidence) -> None:
    table = _decide(evidence._replace(gripper_open=pa.nulls(8, pa.list_(pa.bool_()))))
    assert table["gripper_before"].null_count == table["gripper_after"].null_count == 8


def test_the_counterfactual_by_hand(evidence: SegmentEvidence) -> None:
    # peaks of 0.75 at 2 and 0.5 at 6, each reaching one frame; the action label is 1 at 1, 3, 4 and 5
    expected = {
        "dual": [None, 0.75, None, 0.75, None, 0.5, None, None],
        "scene_only": [None, 0.75, 0.75, 0.75, None, 0.5, 0.5, 0.5],
        "action_only": [None, 1, None, 1, 1, 1, None, None],
        "none": [1] * 8,
        "random": [None] * 8,
        "uniform": [None] * 8,
    }
    assert {rule: _decide(evidence, rule=rule)["kept_up_to"].to_pylist() for rule in RULES} == expected
    first = _decide(evidence, keep_first_frame=True)["kept_up_to"].to_pylist()
    assert first == [1, *expected["dual"][1:]]


def test_the_score_itself_can_be_the_scene_label(evidence: SegmentEvidence) -> None:
    table = _decide(evidence, scene_label="score", boundary_threshold=0.25)
    assert table["scene_label"].to_pylist() == [False, True, True, True, False, True, True, False]
    assert table["kept_up_to"].to_pylist() == [None, 0.25, None, 0.25, 0, 0.25, None, None]
    assert table["boundary_distance"].to_pylist() == [2, 1, 0, 1, 2, 1, 0, 1]


def test_scope_and_tolerance_are_lengths_of_time(evidence: SegmentEvidence) -> None:
    params = PruningConfig(
        peak_scope=Span(seconds=4, fraction=1), scene_tolerance=Span(seconds=2, fraction=1), boundary_threshold=0.5
    )
    table = decide(params, evidence)
    assert table["boundary_distance"].to_pylist() == [2, 1, 0, 1, 2, 3, 4, 5]  # 6 is now within the scope of 2
    assert table["scene_label"].to_pylist() == [True] * 5 + [False] * 3
    faster = decide(params, evidence._replace(fps=np.array([0.5])))  # the same spans are half as many frames
    assert faster["boundary_distance"].to_pylist() == [2, 1, 0, 1, 2, 1, 0, 1]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("dual", "kept: first frame"),
        ("scene_only", "kept: first frame"),
        ("action_only", "kept: first frame"),
        ("random", "kept: first frame"),
        ("none", "kept: no pruning"),
        ("uniform", "kept: evenly spaced"),
    ],
)
def test_the_first_frame_can_be_kept(evidence: SegmentEvidence, rule: Rule, expected: str) -> None:
    table = _decide(evidence, rule=rule, keep_first_frame=True)
    assert table["keep"][0].as_py()
    assert table["rule"][0].as_py() == expected
    assert "kept: first frame" not in table["rule"].to_pylist()[1:]


def test_the_single_layers_say_what_they_saw(evidence: SegmentEvidence) -> None:
    scene = _decide(evidence, rule="scene_only")["rule"].to_pylist()
    assert scene[:3] == ["dropped: no event boundary", "kept: event boundary", "kept: event boundary"]
    action = _decide(evidence, rule="action_only")["rule"].to_pylist()
    assert action[4:7] == ["kept: acceleration", "kept: gripper transition", "dropped: steady motion"]


def test_words_are_counted_over_all_pieces() -> None:
    pieces = [{"style": "plan", "content": " open the\tdrawer "}, {"style": "motion", "content": "left"}]
    reasoning = pa.array([pieces, None, [], [{"style": "plan", "content": ""}]], REASONING)
    assert reasoning_words(reasoning).tolist() == [4, 0, 0, 0]


Make = Callable[..., SegmentEvidence]
lengths = st.lists(st.integers(1, 30), min_size=1, max_size=5)


@given(lengths, st.sampled_from(RULES), st.booleans())
@settings(max_examples=60, deadline=None)
def test_no_frame_is_lost_and_every_verdict_is_told(
    random_evidence: Make, lengths: list[int], rule: Rule, keep_first_frame: bool
) -> None:
    evidence = random_evidence(lengths)
    table = decide(PruningConfig(rule=rule, keep_first_frame=keep_first_frame), evidence)
    assert table["frame_index"].to_pylist() == [index for length in lengths for index in range(length)]
    assert table["episode"].to_pylist() == [
        name for name, length in zip(evidence.episodes, lengths, strict=True) for _ in range(length)
    ]
    assert set(table["rule"].to_pylist()) <= SENTENCES
    assert [rule.startswith("kept: ") for rule in table["rule"].to_pylist()] == table["keep"].to_pylist()


@given(lengths, st.sampled_from(["dual", "scene_only", "action_only", "none"]), st.sampled_from(["peaks", "score"]))
@settings(max_examples=60, deadline=None)
def test_the_counterfactual_is_what_another_threshold_does(
    random_evidence: Make, lengths: list[int], rule: Rule, scene_label: SceneLabel
) -> None:
    evidence = random_evidence(lengths)
    told = decide(PruningConfig(rule=rule, scene_label=scene_label), evidence)["kept_up_to"].to_numpy()
    for threshold in (0.0, 0.3, 0.5, 0.77, 1.0):
        table = decide(PruningConfig(rule=rule, scene_label=scene_label, boundary_threshold=threshold), evidence)
        assert (table["keep"].to_numpy() == (told >= np.float32(threshold))).all()  # NaN compares false


@given(lengths, st.sampled_from(RULES))
@settings(max_examples=30, deadline=None)
def test_deciding_twice_decides_the_same(random_evidence: Make, lengths: list[int], rule: Rule) -> None:
    evidence = random_evidence(lengths)
    assert decide(PruningConfig(rule=rule), evidence).equals(decide(PruningConfig(rule=rule), evidence))


@given(lengths, st.sampled_from(RULES), st.booleans())
@settings(max_examples=40, deadline=None)
def test_pruning_what_is_pruned_changes_nothing(
    random_evidence: Make, lengths: list[int], rule: Rule, keep_first_frame: bool
) -> None:
    params = PruningConfig(rule=rule, keep_first_frame=keep_first_frame)
    evidence = random_evidence(lengths)
    once = decide(params, evidence)
    keep = once["keep"].combine_chunks()
    pruned = evidence.reasoning.take(pa.array(np.arange(len(keep)), mask=~keep.to_numpy(zero_copy_only=False)))
    twice = decide(params, evidence._replace(reasoning=pruned))
    said = ["has_reasoning", "reasoning_words"]
    assert twice.drop_columns(said).equals(once.drop_columns(said))
    words, still = (table["reasoning_words"].to_numpy() for table in (once, twice))
    assert (still == np.where(keep.to_numpy(zero_copy_only=False), words, 0)).all()


@given(lengths, st.sampled_from(RULES), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_of_episodes_changes_nothing(random_evidence: Make, lengths: list[int], rule: Rule, shuffler) -> None:  # type: ignore[no-untyped-def]
    named = [(f"episode-{index}", length) for index, length in enumerate(lengths)]
    shuffled = list(named)
    shuffler.shuffle(shuffled)

    def rows(order: list[tuple[str, int]]) -> list[dict[str, object]]:
        evidence = random_evidence([length for _, length in order], [name for name, _ in order])
        table = decide(PruningConfig(rule=rule), evidence)
        found: list[dict[str, object]] = table.sort_by(
            [("episode", "ascending"), ("frame_index", "ascending")]
        ).to_pylist()
        return found

    assert rows(named) == rows(shuffled)


@given(lengths, st.booleans(), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_baselines_match_the_dual_rule_trajectory_by_trajectory(
    random_evidence: Make, lengths: list[int], keep_first_frame: bool, seed: int
) -> None:
    evidence = random_evidence(lengths)
    kept = {
        rule: decide(PruningConfig(rule=rule, keep_first_frame=keep_first_frame, seed=seed), evidence)
        .group_by("episode", use_threads=False)
        .aggregate([("keep", "sum")])["keep_sum"]
        .to_pylist()
        for rule in ("dual", "random", "uniform")
    }
    assert kept["dual"] == kept["random"] == kept["uniform"]


def test_the_labels_do_not_depend_on_the_rule(random_evidence: Make) -> None:
    evidence = random_evidence([25, 12])
    columns = ["scene_label", "action_label", "boundary_distance", "acceleration"]
    tables = [decide(PruningConfig(rule=rule), evidence).select(columns) for rule in RULES]
    assert all(table.equals(tables[0]) for table in tables)
