"""Compares two policies by their rollouts, or by their answers to one benchmark: only what was measured alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.benchmarks.tables import read_rows
from dualvla_core.evaluation.paired import Pair, PairedDifference, compare_pairs
from dualvla_core.evaluation.protocol import read_protocol, refuse_differences
from dualvla_core.evaluation.statistics import Interval, wilson_interval
from dualvla_core.evaluation.tables import ANSWERS, ANSWERS_FILE
from dualvla_core.evaluation.trajectory import read_rollouts

ALL = "all"


def compare_rollouts(first: Path, second: Path) -> dict[str, PairedDifference]:
    """Success on the episodes both have played: `ALL` tasks, then each by itself.

    Raises `ProtocolMismatchError` naming everything in which their protocols differ.
    """
    one, other = (read_protocol(folder).model_dump(mode="json") for folder in (first, second))
    refuse_differences(one, other, "success rates", "run both under one protocol")
    outcomes = [
        {(row["task"], row["seed"]): float(row["success"]) for row in read_rollouts(folder).to_pylist()}
        for folder in (first, second)
    ]
    return _by_cluster(*outcomes)


def compare_answers(
    first: Path, second: Path, protocols: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> dict[str, PairedDifference]:
    """Scores of the items both have answered: `ALL`, then each category.

    Args:
        first: folder of one policy's scored answers.
        second: folder of the other's.
        protocols: what must agree: rule, prompt, questions, judge.

    Raises:
        ProtocolMismatchError: naming everything in which the protocols differ.
        ArtifactError: when an item is missing; a benchmark with holes has no score.
    """
    refuse_differences(*protocols, "scores", "answer and score both alike")
    return _by_cluster(_items(first), _items(second), whole_clusters=False)


def task_intervals(folder: Path) -> dict[str, tuple[float, Interval]]:
    """Each task's success rate with its 95 % Wilson interval."""
    outcomes: dict[str, list[bool]] = {}
    for row in read_rollouts(folder).to_pylist():
        outcomes.setdefault(row["task"], []).append(row["success"])
    return {
        task: (sum(found) / len(found), wilson_interval(sum(found), len(found))) for task, found in outcomes.items()
    }


def _items(folder: Path) -> dict[tuple[str, str], float]:
    """The least score of each item, by category and name."""
    items: dict[tuple[str, str], float] = {}
    names: dict[str, str] = {}
    for row in read_rows(folder / ANSWERS_FILE, ANSWERS):
        if row["score"] is None:
            raise ArtifactError(f"Question {row['index']} has no score ({row['note']}); complete the benchmark first.")
        key = (names.setdefault(row["item"], row["category"] or "none"), row["item"])
        items[key] = min(row["score"], items.get(key, 1.0))
    return items


def _by_cluster(
    first: Mapping[tuple[str, Any], float], second: Mapping[tuple[str, Any], float], *, whole_clusters: bool = True
) -> dict[str, PairedDifference]:
    """Comparisons over the trials both have, named ``(cluster, trial)``; items of a category are independent."""
    common = [name for name in first if name in second]
    if not common:
        raise ArtifactError("The two have no episode or question in common; measure both on the same ones.")
    everything = [Pair(name[0] if whole_clusters else name, first[name], second[name]) for name in common]
    found = {ALL: compare_pairs(everything)}
    for cluster in dict.fromkeys(name[0] for name in common):
        members = [Pair(name, first[name], second[name]) for name in common if name[0] == cluster]
        found[cluster] = compare_pairs(members)
    return found


def describe(comparisons: Mapping[str, PairedDifference]) -> Sequence[tuple[str, ...]]:
    """Rows of text: trials, both means, difference with its interval, who did better how often, p."""
    return [
        (
            name,
            str(found.pairs),
            f"{100 * found.first:.1f}",
            f"{100 * found.second:.1f}",
            f"{100 * found.difference:+.1f} [{100 * found.interval.low:+.1f}, {100 * found.interval.high:+.1f}]",
            f"{found.first_better} : {found.second_better}",
            f"{found.p_value:.3f}",
        )
        for name, found in comparisons.items()
    ]
