"""What the intervals support, in sentences: nothing is claimed that they do not carry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from dualvla_core.evaluation.protocol import ProtocolMismatchError, SuccessRate, compare
from dualvla_core.evaluation.statistics import Difference, rate_difference
from dualvla_core.report.results.model import Finding, PolicyResult, Share
from dualvla_core.report.results.words import MEASURES, display_name, share

COMPARISONS: Sequence[tuple[str, str]] = (("specialist", "blind"), ("dualvla", "generalist"), ("dualvla", "specialist"))
"""Who is compared with whom, by name: does the specialist see, and what did distillation gain and cost?"""

_DIFFERS = "the 95 % intervals overlap, but that of the difference ({difference}) leaves out zero"
_ENDINGS: Mapping[str, str] = {
    "above": "the 95 % intervals are disjoint, {first} is above",
    "below": "the 95 % intervals are disjoint, {first} is below",
    "perhaps above": _DIFFERS + ": {first} is probably above",
    "perhaps below": _DIFFERS + ": {first} is probably below",
    "not told apart": "the 95 % intervals overlap and that of the difference ({difference}) holds zero: these trials "
    "do not tell the two apart",
}


def findings(policies: Sequence[PolicyResult]) -> tuple[Finding, ...]:
    """A finding for each of `COMPARISONS` and each measure that both policies have."""
    by_name = {policy.name: policy for policy in policies}
    pairs = [(by_name[a], by_name[b]) for a, b in COMPARISONS if a in by_name and b in by_name]
    return tuple(finding for first, second in pairs for finding in _compare(first, second))


def _compare(first: PolicyResult, second: PolicyResult) -> Iterator[Finding]:
    if first.success and second.success:
        try:
            difference = compare(_success_rate(first, first.success), _success_rate(second, second.success))
        except ProtocolMismatchError as error:
            yield Finding(
                measure="success", first=first.name, second=second.name, verdict="not comparable", sentence=str(error)
            )
        else:
            yield _finding("success", first, second, (first.success, second.success), difference)
    if first.accuracy and second.accuracy:
        counts = [(round(share.successes), share.trials) for share in (first.accuracy, second.accuracy)]
        shares = (first.accuracy, second.accuracy)
        yield _finding("accuracy", first, second, shares, rate_difference(counts[0], counts[1]))


def _success_rate(policy: PolicyResult, share: Share) -> SuccessRate:
    assert policy.protocol is not None, "a success rate never travels without its protocol"
    return SuccessRate(policy.protocol, round(share.successes), share.trials)


def _finding(
    measure: Literal["success", "accuracy"],
    first: PolicyResult,
    second: PolicyResult,
    shares: tuple[Share, Share],
    difference: Difference,
) -> Finding:
    one, other = shares
    verdict = _verdict(one, other, difference)
    names = [display_name(policy.name) for policy in (first, second)]
    ending = _ENDINGS[verdict].format(first=names[0], difference=_points(difference))
    found = ", ".join(f"{name} {share(each)} of {each.trials}" for name, each in zip(names, shares, strict=True))
    sentence = f"{MEASURES[measure]}: {found}; {ending}."
    return Finding(measure=measure, first=first.name, second=second.name, verdict=verdict, sentence=sentence)


def _verdict(
    one: Share, other: Share, difference: Difference
) -> Literal["above", "below", "perhaps above", "perhaps below", "not told apart"]:
    if one.low > other.high:
        return "above"
    if one.high < other.low:
        return "below"
    if difference.interval.low > 0:
        return "perhaps above"
    return "perhaps below" if difference.interval.high < 0 else "not told apart"


def _points(difference: Difference) -> str:
    value, (low, high) = difference
    text = f"{100 * value:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]"
    return text.replace("-", "−")
