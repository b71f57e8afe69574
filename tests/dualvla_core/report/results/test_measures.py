from __future__ import annotations

import pytest

from dualvla_core.errors import ArtifactError
from dualvla_core.report.results.measures import measure_policies, measure_policy
from dualvla_core.report.results.words import absences_in_words, protocols_in_words

from .conftest import MakePolicy


def test_the_numbers_are_those_of_the_tables(make_policy: MakePolicy) -> None:
    policy = make_policy(
        "dualvla", "dualvla", {"reach": "SSf", "drawer-open": "ffS"}, {"colour": (3, 4), "state": (0, 2)}
    )
    result = measure_policy(policy, asked=True)
    assert result.success is not None
    assert (result.success.successes, result.success.trials, result.success.value) == (3, 6, 0.5)
    assert {each.name: each.share.successes for each in result.tasks} == {"reach": 2, "drawer-open": 1}
    assert result.accuracy is not None
    assert (result.accuracy.successes, result.accuracy.trials) == (3, 6)
    assert {each.name: each.share.value for each in result.categories} == {"colour": 0.75, "state": 0.0}
    assert result.open_loop is not None
    assert (result.open_loop.error, result.open_loop.episodes) == (0.25, 1)
    assert (result.seed, result.steps, result.policy_type) == (7, 10, "dualvla")
    assert result.absent == {}


def test_the_rule_score_has_parts_intervals_and_coverage(make_policy: MakePolicy) -> None:
    score = measure_policy(make_policy("dualvla", "dualvla", {"reach": "SSSf"}), asked=True).score
    assert score is not None
    assert score.reasoning is not None
    assert score.alignment is not None
    parts = (score.reasoning, score.action, score.intention, score.alignment, score.success, score.score)
    assert [part.value for part in parts] == pytest.approx([0.4, 0.8, 0.6, 0.2, 0.75, 0.1875])
    assert all(part.low < part.value < part.high for part in parts)  # even where every rollout has the same number
    assert (score.trajectories, score.planned) == (4, 4)
    assert (score.decisions, score.spoken) == (16, 12)  # silent at the first decision of each


def test_a_specialist_has_no_reasoning_to_score_and_is_asked_nothing(make_policy: MakePolicy) -> None:
    result = measure_policy(make_policy("blind", "specialist", {"reach": "Sf"}), asked=True)
    assert result.score is not None
    assert (result.score.reasoning, result.score.alignment, result.score.spoken) == (None, None, 0)
    assert result.accuracy is None
    assert result.absent == {"accuracy": "trained to act without words, it is asked no questions"}


def test_what_was_not_measured_is_null_with_its_reason(make_policy: MakePolicy) -> None:
    names = ("generalist", "dualvla")
    results = measure_policies([make_policy(name, name, open_loop=None) for name in names], asked=False)
    for result in results.policies:
        assert (result.success, result.accuracy, result.open_loop, result.score) == (None, None, None, None)
        assert result.absent.keys() == {"success", "accuracy", "open_loop", "score"}
    assert results.findings == ()
    sentences = absences_in_words(results.policies)
    assert len(sentences) == 4
    assert sentences[0] == (
        "Right answers to held-out questions of Generalist, DualVLA: not measured; the demonstrations come with no "
        "questions."
    )


def test_the_protocol_is_said_once_or_by_policy(make_policy: MakePolicy) -> None:
    same = measure_policies([make_policy(name, outcomes={"reach": "Sf"}) for name in ("one", "two")], asked=True)
    (sentence,) = protocols_in_words(same.policies)
    assert sentence.startswith(
        "Protocol: 1 task (reach), 2 episodes each with seeds 50000 to 50001; at most 50 control"
    )
    assert "Simulator: metaworld 1. Harness: vla-eval 1." in sentence
    other = make_policy("three", outcomes={"reach": "Sf"}, trials={"max_steps": 9})
    several = [*same.policies, measure_policy(other, asked=True)]
    assert [text.partition(":")[0] for text in protocols_in_words(several)] == [
        "Protocol of One, Two",
        "Protocol of Three",
    ]
    final = measure_policy(make_policy("final", outcomes={"reach": "S"}, trials={"success_mode": "final"}), asked=True)
    (sentence,) = protocols_in_words([final])
    assert "final: an episode succeeds if its task is solved at the last of them" in sentence
    assert protocols_in_words([measure_policy(make_policy("four"), asked=True)]) == []


def test_a_checkpoint_that_does_not_say_what_it_is(make_policy: MakePolicy) -> None:
    policy = make_policy()
    (policy.checkpoint / "config.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"config\.json of 'checkpoint' names no policy type"):
        measure_policy(policy, asked=True)


def test_a_table_of_another_layout(make_policy: MakePolicy) -> None:
    policy = make_policy("dualvla", "dualvla", {"reach": "S"}, {"colour": (1, 1)})
    assert policy.questions is not None
    (policy.questions / "answers.parquet").unlink()
    with pytest.raises(ArtifactError, match=r"answers\.parquet is missing"):
        measure_policy(policy, asked=True)
