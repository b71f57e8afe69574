"""The calibration report: one judge's verdicts against people's, or against another judge's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from dualvla_core.params import Summary
from dualvla_core.report.pages import render
from dualvla_core.vla_score.agreement import compare_ratings
from dualvla_core.vla_score.config import BootstrapConfig
from dualvla_core.vla_score.judge import JudgeIdentity
from dualvla_core.vla_score.ratings import Ratings, RatingsError, ratings_of, read_human_ratings
from dualvla_core.vla_score.recorded import VERDICTS_FILE, read_verdicts
from dualvla_core.vla_score.validation import AgreementReport


def calibrate(config: BootstrapConfig, scores: Path, other: Path | None, human: Path | None, output: Path) -> Summary:
    """Compare the verdicts in ``scores`` with a human CSV or another folder of scores; write JSON and a page.

    Raises:
        RatingsError: when there is not exactly one thing to compare with, or nothing in common.
    """
    rows = read_verdicts(scores / VERDICTS_FILE)
    against: Literal["human", "judge"]
    if human is not None and other is None:
        reviewers, ratings = read_human_ratings(human)
        second: tuple[str, Ratings] = (reviewers, ratings)
        against = "human"
    elif other is not None and human is None:
        theirs = read_verdicts(other / VERDICTS_FILE)
        second, against = (_identity(theirs), ratings_of(theirs)), "judge"
    else:
        raise RatingsError("Agreement is with people or with another judge; name exactly one of them.")
    report = compare_ratings((_identity(rows), ratings_of(rows)), second, against, config, _disagreement(rows))
    (output / "agreement.json").write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    (output / "agreement.html").write_text(render("vla_score", "agreement.html", report=report), encoding="utf-8")
    return _summary(report)


def _identity(rows: list[dict[str, Any]]) -> str:
    return str(JudgeIdentity.model_validate_json(rows[0]["judge"]))


def _disagreement(rows: list[dict[str, Any]]) -> float | None:
    """Repeat consistency: the mean over trajectories that were judged more than once."""
    repeated = [row["disagreement"] for row in rows if len(row["repeats"]) > 1]
    return sum(repeated) / len(repeated) if repeated else None


def _summary(report: AgreementReport) -> Summary:
    summary: Summary = {"against": report.against, "other": report.other}
    for name, stats in report.dimensions.items():
        summary |= {f"{name}.trajectories": stats.trajectories, f"{name}.mean difference": stats.difference}
        summary[f"{name}.kappa"] = "undefined" if stats.kappa is None else stats.kappa
    return summary
