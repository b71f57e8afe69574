"""Whether a judge may be believed: what a score is called until its judge has been measured against people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import Field

from dualvla_core.params import Params
from dualvla_core.vla_score.judge import JudgeIdentity

Standing: TypeAlias = Literal["proxy", "unvalidated", "validated"]

NAMES: dict[Standing, str] = {
    "proxy": "rule score (proxy)",
    "unvalidated": "VLA Score (unvalidated)",
    "validated": "VLA Score",
}
"""What a score is called everywhere."""


class DimensionAgreement(Params):
    """Agreement in one dimension; None where a statistic is undefined, as with a rater who always says the same."""

    trajectories: int = Field(description="Trajectories that both rated.")
    kappa: float | None = Field(description="Cohen's kappa with quadratic weights.")
    kappa_low: float | None = Field(description="Lower end of its bootstrap interval.")
    kappa_high: float | None = Field(description="Upper end of its bootstrap interval.")
    alpha: float | None = Field(description="Krippendorff's alpha, ordinal.")
    alpha_low: float | None = Field(description="Lower end of its bootstrap interval.")
    alpha_high: float | None = Field(description="Upper end of its bootstrap interval.")
    spearman: float | None = Field(description="Spearman's rank correlation.")
    kendall: float | None = Field(description="Kendall's tau-b.")
    difference: float = Field(description="Mean absolute difference (points).")
    difference_low: float = Field(description="Lower end of its bootstrap interval.")
    difference_high: float = Field(description="Upper end of its bootstrap interval.")
    bias: float = Field(description="Mean of judge minus other (points).")
    judge_counts: tuple[int, ...] = Field(description="Base rates: how often the judge gave 0, 1, ... 10.")
    other_counts: tuple[int, ...] = Field(description="Base rates: how often the other gave 0, 1, ... 10.")


class AgreementReport(Params):
    """Agreement of one judge with people, or with another judge."""

    judge: str = Field(description="Identity of the judge.")
    other: str = Field(description="Who else rated: reviewers' names, or the other judge's identity.")
    against: Literal["human", "judge"] = Field(description="What the other rater is.")
    dimensions: dict[str, DimensionAgreement] = Field(description="By dimension.")
    disagreement: float | None = Field(description="The judge's repeats: mean distance from their median (points).")
    unmatched: int = Field(description="Trajectories that only one of the two rated.")


@dataclass(frozen=True)
class Validation:
    """A judge's standing, and why."""

    standing: Standing
    reason: str

    @property
    def name(self) -> str:
        """What the score is called."""
        return NAMES[self.standing]


def validate(identity: JudgeIdentity, report: AgreementReport | None, min_agreement: float) -> Validation:
    """The standing of a judge: rules stay a proxy whatever they agree with; others need people to agree with them."""
    if identity.judge == "rules":
        return Validation("proxy", "Rules over the trajectory; no vision-language judge was asked.")
    if report is None:
        return Validation("unvalidated", "Not validated here: no human scores were compared with this judge.")
    if report.against != "human":
        return Validation("unvalidated", "Not validated here: the agreement is with another judge, not with people.")
    if report.judge != str(identity):
        return Validation("unvalidated", f"The agreement was measured for another judge, {report.judge}.")
    low = {
        name: stats.kappa
        for name, stats in report.dimensions.items()
        if stats.kappa is None or stats.kappa < min_agreement
    }
    if low:
        named = ", ".join(f"{name} {'undefined' if value is None else f'{value:.2f}'}" for name, value in low.items())
        return Validation("unvalidated", f"Weighted kappa below {min_agreement:g} for {named}.")
    return Validation("validated", f"Weighted kappa with people of {min_agreement:g} or more in every dimension.")
