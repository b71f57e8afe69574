"""The report on scored policies: a page, a page per attempt behind it, and the numbers as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.trajectory import Trajectory, read_trajectories, silent_rollouts
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.report.pages import render
from dualvla_core.vla_score.config import BootstrapConfig, FramesConfig
from dualvla_core.vla_score.judge import DIMENSIONS, JudgeIdentity
from dualvla_core.vla_score.prompt import shown
from dualvla_core.vla_score.recorded import VERDICTS_FILE, read_verdicts
from dualvla_core.vla_score.score import compare_policies
from dualvla_core.vla_score.stage import SCORE_FILE, SCORES, SCORES_FILE, scored

PAGE, NUMBERS, ATTEMPTS = "scores.html", "scores.json", "attempts"

_FRAMES = FramesConfig(count=12, size=160, jpeg_quality=80)
_SILENT = "says nothing"
_HIGH, _LOW = 7, 4  # grades from which reasoning counts as high, and up to which another dimension counts as low

PUBLISHED: tuple[dict[str, str | float | None], ...] = tuple(
    dict(zip(("method", *DIMENSIONS, "success", "score"), row, strict=True))
    for row in (
        ("OpenVLA-7B", None, 45.3, 57.7, None, 27.2, 14.2),
        ("SpatialVLA-3B", None, 61.9, 70.5, None, 45.9, 40.1),
        ("InstructVLA-E", None, 63.1, 73.2, None, 56.0, 45.3),
        ("Magma", 66.0, 61.0, 71.2, 36.0, 30.5, 19.5),
        ("InstructVLA-G", 72.3, 48.6, 68.0, 43.3, 53.0, 35.1),
        ("DualVLA", 74.0, 64.8, 74.7, 51.0, 61.0, 42.9),
    )
)
"""VLA Scores of the DualVLA paper (Tables 4 and 5): SimplerEnv, judged by GPT-4o."""


@dataclass(frozen=True)
class ScoredPolicy:
    """Where the results of one policy lie."""

    name: str
    scores: Path
    rollouts: Path


def score_report(
    policies: Sequence[ScoredPolicy], bootstrap: BootstrapConfig, output: Path, progress: Progress = silent
) -> Summary:
    """Write ``scores.html``, ``scores.json`` and a page per attempt.

    Raises:
        ArtifactError: when the policies were judged by different judges, or scores and rollouts do not belong together.
    """
    read = [_read(policy) for policy in policies]
    judges = {each["verdicts"][0]["judge"] for each in read}
    if len(judges) != 1:
        raise ArtifactError(
            f"The scores come from {len(judges)} judges, expected one: grades of different judges cannot be compared; "
            "score all policies with the same judge."
        )
    comparisons = [
        {"first": one["name"], "second": other["name"], **asdict(compare_policies(*_both(one, other), bootstrap))}
        for one, other in combinations(read, 2)
    ]
    (output / ATTEMPTS).mkdir()
    done, total = 0, sum(len(each["verdicts"]) for each in read)
    for policy, each in zip(policies, read, strict=True):
        for trajectory, row in zip(read_trajectories(policy.rollouts), each["verdicts"], strict=True):
            _write_attempt(policy.name, trajectory, row, each["score"], output)
            done += 1
            progress(done, total)
    numbers = {
        "judge": json.loads(judges.pop()),
        "policies": [{name: each[name] for name in _TOLD} for each in read],
        "comparisons": comparisons,
        "published": PUBLISHED,
    }
    (output / NUMBERS).write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    identity = JudgeIdentity.model_validate(numbers["judge"])
    page = render("vla_score", "scores.html", policies=read, comparisons=comparisons, judge=str(identity), **_PAGE)
    (output / PAGE).write_text(page, encoding="utf-8")
    return {"measure": read[0]["score"]["name"]} | {each["name"]: each["score"]["macro"] for each in read}


_TOLD = ("name", "score", "tasks", "means", "signatures", "spoken")
_PAGE: dict[str, Any] = {
    "dimensions": DIMENSIONS,
    "published": PUBLISHED,
    "signs": {
        _SILENT: "no text in the whole attempt: 0 for reasoning and alignment, hence for the score",
        "talks better than it acts": f"reasoning {_HIGH} or more, action {_LOW} or less",
        "does not do what it says": f"alignment {_LOW} or less",
    },
}


def score_rows(numbers: Mapping[str, Any]) -> list[dict[str, str | float | None]]:
    """What ``scores.json`` says of each policy, a row each: mean grades, success, score and interval (0 to 100)."""
    rows = []
    for policy in numbers["policies"]:
        score = policy["score"]
        low_high = score["macro_interval"]
        rows.append(
            {"policy": policy["name"]}
            | {name: _rounded(value) for name, value in policy["means"].items()}
            | {
                score["name"]: _rounded(score["macro"]),
                "95 % interval": "unknown" if low_high is None else f"{low_high[0]:.1f} to {low_high[1]:.1f}",
                "coverage, %": _rounded(100 * score["coverage"]),
                "attempts without a word": policy["signatures"].get(_SILENT, 0),
            }
        )
    return rows


def signatures(row: Mapping[str, Any], *, silent: bool = False) -> list[str]:
    """The failure signatures of one verdict (DualVLA 3.3); a ``silent`` attempt has its own and no other."""
    if row["missing"] is not None or row["reasoning"] is None:
        return []
    if silent:
        return [_SILENT]
    found = {
        "talks better than it acts": row["reasoning"] >= _HIGH and row["action"] <= _LOW,
        "does not do what it says": row["alignment"] <= _LOW,
    }
    return [name for name, holds in found.items() if holds]


def _read(policy: ScoredPolicy) -> dict[str, Any]:
    verdicts = read_verdicts(policy.scores / VERDICTS_FILE)
    tasks = pq.read_table(policy.scores / SCORES_FILE, schema=SCORES).to_pylist()
    silent = silent_rollouts(policy.rollouts)
    marks: dict[str, int] = {}
    for row in verdicts:
        row["page"] = f"{ATTEMPTS}/{policy.name}-{row['rollout']}.html"
        row["signatures"] = signatures(row, silent=row["rollout"] in silent)
        for name in row["signatures"]:
            marks[name] = marks.get(name, 0) + 1
    return {
        "name": policy.name,
        "verdicts": verdicts,
        "score": json.loads((policy.scores / SCORE_FILE).read_text(encoding="utf-8")),
        "tasks": tasks,
        "means": {name: _mean([task[name] for task in tasks]) for name in (*DIMENSIONS, "success")},
        "signatures": marks,
        "spoken": _mean([row["score"] for row in verdicts if _SILENT not in row["signatures"]]),
    }


def _both(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[Any, Any]:
    return scored(one["verdicts"]), scored(other["verdicts"])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _write_attempt(
    policy: str, trajectory: Trajectory, row: Mapping[str, Any], score: Mapping[str, Any], output: Path
) -> None:
    if (trajectory.task, trajectory.seed) != (row["task"], row["seed"]):
        raise ArtifactError(f"The scores of {policy} are not those of its rollouts; score these rollouts again.")
    page = render(
        "vla_score",
        "attempt.html",
        policy=policy,
        trajectory=trajectory,
        row=row,
        name=score["name"],
        images=shown(trajectory, _FRAMES),
        dimensions=DIMENSIONS,
        back=f"../{PAGE}",
    )
    (output / row["page"]).write_text(page, encoding="utf-8")
