from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from dualvla_core.pruning import PruningConfig
from dualvla_core.pruning.baselines import RULES
from dualvla_core.pruning.decide import decide
from dualvla_core.pruning.measures import Surprise, retention_by_rule, surprising_episodes, text_change
from dualvla_core.schemas import REASONING


def _reasoning(*texts: str | None) -> pa.Array:
    return pa.array([None if text is None else [{"style": "plan", "content": text}] for text in texts], REASONING)


def test_text_by_hand() -> None:
    # "plan: go on." = plan : go on . ; three frames of it and one "plan: stop" = plan : stop
    reasoning = _reasoning("go on.", "go on.", "go on.", "stop", None)
    change = text_change(reasoning, np.array([True, False, False, True, True]))
    assert change.before[:3] == (4, 3 * 5 + 3, 2)
    assert change.after[:3] == (2, 5 + 3, 2)
    quarter = 0.75 * np.log2(4 / 3) + 0.25 * 2
    assert change.before.bits_per_frame == pytest.approx(quarter)
    assert change.after.bits_per_frame == 1.0
    # after: plan and : twice, go on . stop once, of eight
    assert change.after.bits_per_token == pytest.approx(2 * 0.25 * 2 + 4 * 0.125 * 3)


def test_pieces_of_a_frame_are_one_text() -> None:
    pieces = [{"style": "plan", "content": "open"}, {"style": "motion", "content": "up"}]
    change = text_change(pa.array([pieces, pieces[:1]], REASONING), np.array([True, True]))
    assert change.before.texts == 2
    assert change.before.tokens == 6 + 3


def test_no_text_has_no_entropy() -> None:
    nothing = (0, 0, 0, 0.0, 0.0)
    assert text_change(_reasoning(None, None), np.array([True, False])) == (nothing, nothing)
    assert text_change(_reasoning("go"), np.array([False])).after == nothing


def test_one_text_alone_has_no_entropy_and_no_sign() -> None:
    alone = text_change(_reasoning("go"), np.array([True])).before
    assert alone.bits_per_frame == 0
    assert math.copysign(1, alone.bits_per_frame) == 1


def test_every_rule_keeps_what_it_decides(random_evidence) -> None:  # type: ignore[no-untyped-def]
    evidence = random_evidence([30, 12, 1])
    table = decide(PruningConfig(), evidence)
    found = retention_by_rule(table, keep_first_frame=True, seed=5)
    assert list(found) == list(RULES)
    for rule, share in found.items():
        params = PruningConfig(rule=rule, keep_first_frame=True, seed=5)
        assert share == decide(params, evidence)["keep"].to_numpy().mean()


def test_frames_without_reasoning_do_not_count(random_evidence) -> None:  # type: ignore[no-untyped-def]
    evidence = random_evidence([4])
    silent = evidence._replace(reasoning=pa.nulls(4, REASONING))
    assert retention_by_rule(decide(PruningConfig(), silent))["none"] == 1.0
    half = evidence._replace(reasoning=pa.concat_arrays([evidence.reasoning[:1], pa.nulls(3, REASONING)]))
    table = decide(PruningConfig(), half)
    assert retention_by_rule(table)["uniform"] == (1.0 if table["keep"].to_numpy().any() else 0.0)
    assert retention_by_rule(table)["none"] == 1.0
    with pytest.raises(ValueError, match="at least one frame"):
        retention_by_rule(table.slice(0, 0))


def test_surprise_by_hand() -> None:
    ratios = [0.2, 0.3, 0.25, 0.9, 0.5, 0.5]  # median of push 0.275, distances .075 .025 .025 .625: median .05
    found = surprising_episodes({"ratio": ratios}, list("abcdef"), ["push"] * 4 + ["pull"] * 2, most=2)
    assert [surprise.episode for surprise in found] == ["d", "a"]
    assert found[0] == Surprise("d", "ratio", 0.9, 0.275, pytest.approx(0.6745 * 0.625 / 0.05))
    assert found[1].deviation == pytest.approx(-0.6745 * 0.075 / 0.05)


def test_a_small_group_is_compared_with_all() -> None:
    found = surprising_episodes({"ratio": [1, 2, 3, 4, 9]}, list("abcde"), ["push"] * 4 + ["pull"])
    assert found[0] == Surprise("e", "ratio", 9, 3, pytest.approx(0.6745 * 6 / 1))


def test_the_most_deviating_quantity_counts() -> None:
    found = surprising_episodes({"ratio": [1, 2, 3, 4, 5], "flips": [0, 0, 0, 0, 7]}, list("abcde"), ["push"] * 5)
    # more than half of the flips are equal: the mean absolute deviation 7/5 stands in
    assert found[0] == Surprise("e", "flips", 7, 0, pytest.approx(0.7979 * 7 / 1.4))
    assert [surprise.episode for surprise in found] == ["e", "a", "b", "d"]  # c is the median in both


def test_a_few_that_agree_by_chance_make_nobody_surprising() -> None:
    agreed = [0.200, 0.201, 0.199, 0.2005, 0.206]  # median distance 0.0005, of which 0.206 lies eleven away
    found = surprising_episodes({"ratio": agreed}, list("abcde"), ["push"] * 5)
    assert found[0].episode == "e"
    assert found[0].deviation == pytest.approx((0.206 - 0.2005) / (0.1 * 0.2005))


def test_equal_episodes_surprise_nobody() -> None:
    assert surprising_episodes({"ratio": [0.5] * 5}, list("abcde"), ["push"] * 5) == []


def test_unless_told_otherwise_no_frame_is_forced_and_the_seed_is_0(random_evidence) -> None:  # type: ignore[no-untyped-def]
    table = decide(PruningConfig(), random_evidence([30, 12, 40]))
    assert retention_by_rule(table) == retention_by_rule(table, keep_first_frame=False, seed=0)
    assert retention_by_rule(table) != retention_by_rule(table, keep_first_frame=True, seed=0)
    half = [index % 2 == 0 for index in range(len(table))]  # where only some frames count, so does the draw
    place = table.schema.get_field_index("has_reasoning")
    table = table.set_column(place, table.schema.field(place), pa.array(half))
    draws = {retention_by_rule(table, seed=seed)["random"] for seed in range(8)}
    assert len(draws) > 1
    assert retention_by_rule(table)["random"] == retention_by_rule(table, seed=0)["random"]


def test_ten_episodes_surprise_at_most() -> None:
    names = [f"e{number}" for number in range(25)]
    assert len(surprising_episodes({"ratio": list(range(25))}, names, ["push"] * 25)) == 10
