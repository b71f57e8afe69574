from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.benchmarks.tables import write_table
from dualvla_core.evaluation.comparison import ALL, compare_answers, compare_rollouts, describe, task_intervals
from dualvla_core.evaluation.protocol import EvaluationProtocol, ProtocolMismatchError
from dualvla_core.evaluation.statistics import wilson_interval
from dualvla_core.evaluation.tables import ANSWERS, ANSWERS_FILE, ROLLOUTS, ROLLOUTS_FILE

MakeProtocol = Callable[..., EvaluationProtocol]
PROTOCOL = {"rule": "anls", "questions": "abc"}


def played(folder: Path, protocol: EvaluationProtocol, successes: Sequence[bool]) -> Path:
    folder.mkdir()
    protocol.write(folder)
    rows = [
        {
            "rollout": number,
            "task": task,
            "seed": seed,
            "success": success,
            "steps": 1,
            "instruction": "Go.",
            "policy_type": "specialist",
            "final_state": [0.0],
        }
        for number, ((task, seed), success) in enumerate(zip(protocol.episodes, successes, strict=True))
    ]
    pq.write_table(pa.Table.from_pylist(rows, ROLLOUTS), folder / ROLLOUTS_FILE)
    return folder


def answered(folder: Path, scores: Sequence[tuple[str, str, float | None]]) -> Path:
    folder.mkdir()
    rows = [
        {"index": str(number), "item": item, "category": category, "question": "?", "expected": "x", "score": score}
        for number, (item, category, score) in enumerate(scores)
    ]
    write_table(rows, ANSWERS, folder / ANSWERS_FILE)
    return folder


def test_policies_are_paired_by_task_and_seed(protocol: MakeProtocol, tmp_path: Path) -> None:
    trials = protocol(tasks=("reach", "door-open"), episodes_per_task=2)
    first = played(tmp_path / "a", trials, [True, True, False, True])
    second = played(tmp_path / "b", trials, [True, False, False, False])
    found = compare_rollouts(first, second)
    assert list(found) == [ALL, "reach", "door-open"]
    assert (found[ALL].first, found[ALL].second, found[ALL].first_better) == (0.75, 0.25, 2)
    assert found[ALL].interval == (0.5, 0.5)  # both tasks differ by one half
    assert found["reach"].pairs == 2
    assert found["reach"].interval == (0.0, 1.0)
    assert describe(found)[0] == ("all", "4", "75.0", "25.0", "+50.0 [+50.0, +50.0]", "2 : 0", "0.500")
    assert task_intervals(first)["reach"] == (1.0, wilson_interval(2, 2))


def test_every_difference_between_protocols_is_named(protocol: MakeProtocol, tmp_path: Path) -> None:
    first = played(tmp_path / "a", protocol(tasks=("reach",), episodes_per_task=1), [True])
    other = protocol(tasks=("reach",), episodes_per_task=1, max_steps=50, first_seed=7, simulator="metaworld 2")
    second = played(tmp_path / "b", other, [True])
    with pytest.raises(ProtocolMismatchError) as refused:
        compare_rollouts(first, second)
    for part in ("max_steps is 200 in the first and 50", "first_seed is 50000", "simulator is 'metaworld 1'"):
        assert part in str(refused.value)
    assert "episodes_per_task" not in str(refused.value)


def test_answers_are_paired_by_item_with_the_worst_rotation(tmp_path: Path) -> None:
    first = answered(tmp_path / "a", [("1", "x", 1.0), ("1", "x", 0.25), ("2", "y", 0.5)])
    second = answered(tmp_path / "b", [("1", "x", 0.0), ("1", "x", 1.0), ("2", "y", 0.5)])
    found = compare_answers(first, second, (PROTOCOL, PROTOCOL))
    assert list(found) == [ALL, "x", "y"]
    assert (found[ALL].first, found[ALL].second) == (0.375, 0.25)
    assert (found[ALL].first_better, found[ALL].second_better) == (1, 0)


def test_answers_scored_otherwise_or_incomplete_or_to_other_questions_are_refused(tmp_path: Path) -> None:
    whole = answered(tmp_path / "a", [("1", "x", 1.0)])
    partly = answered(tmp_path / "b", [("1", "x", None)])
    others = answered(tmp_path / "c", [("2", "x", 1.0)])
    with pytest.raises(ProtocolMismatchError, match="rule is 'anls' in the first and 'judge' in the second"):
        compare_answers(whole, whole, (PROTOCOL, {**PROTOCOL, "rule": "judge"}))
    with pytest.raises(ArtifactError, match="Question 0 has no score"):
        compare_answers(whole, partly, (PROTOCOL, PROTOCOL))
    with pytest.raises(ArtifactError, match="no episode or question in common"):
        compare_answers(whole, others, (PROTOCOL, PROTOCOL))
