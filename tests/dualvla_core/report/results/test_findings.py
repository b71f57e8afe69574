from __future__ import annotations

import pytest

from dualvla_core.report.context import TrainedPolicy
from dualvla_core.report.results.findings import findings
from dualvla_core.report.results.measures import measure_policy
from dualvla_core.report.results.model import PolicyResult
from dualvla_core.report.results.plane import place

from .conftest import MakePolicy


def measured(policy: TrainedPolicy) -> PolicyResult:
    return measure_policy(policy, asked=True)


def of(make_policy: MakePolicy, name: str, successes: int, **fields: object) -> PolicyResult:
    kind = name if name in {"generalist", "dualvla"} else "specialist"
    outcomes = {"reach": "S" * successes + "f" * (20 - successes)}
    return measured(make_policy(name, kind, outcomes, **fields))


@pytest.mark.parametrize(
    ("specialist", "blind", "verdict", "words"),
    [
        (18, 4, "above", "the 95 % intervals are disjoint, Specialist is above."),
        (4, 18, "below", "the 95 % intervals are disjoint, Specialist is below."),
        (16, 9, "perhaps above", "leaves out zero: Specialist is probably above."),
        (9, 16, "perhaps below", "leaves out zero: Specialist is probably below."),
        (12, 10, "not told apart", "holds zero: these trials do not tell the two apart."),
    ],
)
def test_a_sentence_claims_what_the_intervals_carry(
    make_policy: MakePolicy, specialist: int, blind: int, verdict: str, words: str
) -> None:
    policies = [of(make_policy, "specialist", specialist), of(make_policy, "blind", blind)]
    (finding,) = findings(policies)
    assert finding.verdict == verdict
    assert finding.sentence.endswith(words)


def test_the_numbers_of_a_sentence(make_policy: MakePolicy) -> None:
    (finding,) = findings([of(make_policy, "specialist", 10), of(make_policy, "blind", 10)])
    # Wilson at 10 of 20: (0.5 + z²/40 ± z·sqrt(0.0125 + z²/1600)) / (1 + z²/20) with z = 1.96
    assert "Specialist 50.0\u00a0% [29.9, 70.1] of 20, Blind 50.0\u00a0% [29.9, 70.1] of 20" in finding.sentence
    assert "(+0.0 points [−28.4, +28.4])" in finding.sentence  # Newcombe: both arms sqrt(2) · 20.07


def test_rates_of_different_protocols_are_not_compared(make_policy: MakePolicy) -> None:
    policies = [of(make_policy, "specialist", 18), of(make_policy, "blind", 2, trials={"max_steps": 9})]
    (finding,) = findings(policies)
    assert finding.verdict == "not comparable"
    assert "max_steps is 50 in the first and 9 in the second" in finding.sentence


def test_student_and_generalist_are_compared_in_both_dimensions(make_policy: MakePolicy) -> None:
    policies = [
        of(make_policy, "generalist", 10, right={"colour": (9, 10)}),
        of(make_policy, "dualvla", 12, right={"colour": (1, 10), "state": (0, 10)}),
    ]
    assert [(each.measure, each.first, each.verdict) for each in findings(policies)] == [
        ("success", "dualvla", "not told apart"),
        ("accuracy", "dualvla", "below"),
    ]


def test_the_plane_holds_who_has_both_and_the_strip_the_rest(make_policy: MakePolicy) -> None:
    policies = [
        of(make_policy, "specialist", 16),
        of(make_policy, "generalist", 10, right={"colour": (5, 10)}),
        of(make_policy, "dualvla", 18, right={"colour": (5, 10)}),
    ]
    plane = place(policies)
    assert plane is not None
    assert [(row.name, row.number, row.x.value) for row in plane.rows] == [("specialist", 0, 0.8)]
    assert [(point.name, point.number, point.label_left) for point in plane.points] == [
        ("generalist", 1, False),
        ("dualvla", 2, True),
    ]
    assert [point.label_y for point in plane.points] == [50.0, 57.0]
    assert place([measured(make_policy("other"))]) is None
