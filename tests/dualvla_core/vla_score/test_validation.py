from __future__ import annotations

import pytest

from dualvla_core.vla_score.agreement import compare_ratings
from dualvla_core.vla_score.config import BootstrapConfig
from dualvla_core.vla_score.judge import JudgeIdentity
from dualvla_core.vla_score.validation import AgreementReport, validate

VLM = JudgeIdentity(judge="vlm", model="m", prompt="p", settings="s")
RULES = JudgeIdentity(judge="rules", model="rules", prompt="", settings="s")


def report(shift: int = 0, **changes: object) -> AgreementReport:
    people = {str(n): {"action": n, "intention": 10 - n} for n in range(11)}
    judge = {str(n): {"action": n, "intention": min(10, max(0, 10 - n + shift))} for n in range(11)}
    found = compare_ratings((str(VLM), judge), ("Ada", people), "human", BootstrapConfig(samples=100))
    return found.model_copy(update=changes)


def test_a_judge_that_people_agree_with_is_validated() -> None:
    found = validate(VLM, report(), 0.6)
    assert (found.standing, found.name) == ("validated", "VLA Score")


def test_rules_stay_a_proxy_whatever_they_agree_with() -> None:
    found = validate(RULES, report(judge=str(RULES)), 0.0)
    assert found.name == "rule score (proxy)"


@pytest.mark.parametrize(
    ("agreement", "told"),
    [
        (None, "no human scores"),
        (report(against="judge"), "another judge, not with people"),
        (report(judge="vlm (another)"), "measured for another judge"),
        (report(shift=-8), "below 0.6 for intention"),
    ],
)
def test_a_judge_without_enough_agreement_is_unvalidated(agreement: AgreementReport | None, told: str) -> None:
    found = validate(VLM, agreement, 0.6)
    assert found.name == "VLA Score (unvalidated)"
    assert told in found.reason


def test_an_undefined_kappa_validates_nothing() -> None:
    same = {str(n): {"action": 7} for n in range(5)}
    undefined = compare_ratings((str(VLM), same), ("Ada", same), "human", BootstrapConfig(samples=100))
    assert validate(VLM, undefined, -1).standing == "unvalidated"


def test_a_report_survives_being_written() -> None:
    same = {str(n): {"action": 7} for n in range(5)}
    undefined = compare_ratings((str(VLM), same), ("Ada", same), "human", BootstrapConfig(samples=100))
    assert AgreementReport.model_validate_json(undefined.model_dump_json()) == undefined
