"""A success rate never travels without the protocol it was measured under."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from dualvla_core.errors import ArtifactError, UserError
from dualvla_core.evaluation.config import TrialConfig
from dualvla_core.evaluation.statistics import Difference, Interval, rate_difference, wilson_interval
from dualvla_core.params import Summary

PROTOCOL_FILE = "protocol.json"


class ProtocolMismatchError(UserError):
    """Two success rates that must not be compared."""


class EvaluationProtocol(TrialConfig):
    """Everything that has to agree for two success rates to be comparable."""

    simulator: str = Field(description="Simulator with its versions")
    harness: str = Field(description="Evaluation harness with its version")
    stand_in_assets: bool = Field(
        default=False, description="Some objects are replaced by stand-ins: no score of the original benchmark"
    )

    def write(self, folder: Path) -> None:
        """Write ``protocol.json``."""
        (folder / PROTOCOL_FILE).write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read_protocol(folder: Path) -> EvaluationProtocol:
    """The protocol of a folder of rollouts. Raises `ArtifactError` where there is none that can be read."""
    try:
        return EvaluationProtocol.model_validate_json((folder / PROTOCOL_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{PROTOCOL_FILE} is missing from {folder.name!r}; run the rollouts again.") from None
    except ValidationError as error:
        detail = " ".join(str(error).split())
        raise ArtifactError(f"{PROTOCOL_FILE} cannot be read ({detail}); run the rollouts again.") from error


@dataclass(frozen=True)
class SuccessRate:
    """How often a policy succeeded, and under which protocol."""

    protocol: EvaluationProtocol
    successes: int
    episodes: int
    task: str | None = None
    """One task, or none for all of them (every task has equally many episodes)."""

    @property
    def rate(self) -> float:
        """The share of successes."""
        return self.successes / self.episodes

    @property
    def interval(self) -> Interval:
        """The 95 % Wilson interval."""
        return wilson_interval(self.successes, self.episodes)


def success_rates(protocol: EvaluationProtocol, successes: Sequence[bool]) -> list[SuccessRate]:
    """The overall rate, then one per task, from the outcome of each of ``protocol.episodes`` in order."""
    per_task = protocol.episodes_per_task
    assert len(successes) == len(protocol.tasks) * per_task, "a success rate exists only for all planned episodes"
    rates = [SuccessRate(protocol, sum(successes), len(successes))]
    for index, task in enumerate(protocol.tasks):
        outcomes = successes[index * per_task : (index + 1) * per_task]
        rates.append(SuccessRate(protocol, sum(outcomes), per_task, task))
    return rates


def summarise(rates: Sequence[SuccessRate]) -> Summary:
    """``success_rate``, ``success_low`` and ``success_high``, and the same for each task as ``<task>.success_rate``."""
    summary: Summary = {"episodes": rates[0].episodes}
    for each in rates:
        prefix = f"{each.task}." if each.task else ""
        summary[prefix + "success_rate"] = each.rate
        summary[prefix + "success_low"], summary[prefix + "success_high"] = each.interval
    return summary


def refuse_differences(first: Mapping[str, Any], second: Mapping[str, Any], what: str, remedy: str) -> None:
    """Raise `ProtocolMismatchError` naming every value in which two measurements differ, and what to do."""
    differing = [name for name in {**first, **second} if first.get(name) != second.get(name)]
    if differing:
        told = "; ".join(
            f"{name} is {first.get(name)!r} in the first and {second.get(name)!r} in the second" for name in differing
        )
        raise ProtocolMismatchError(f"These {what} cannot be compared: {told}; {remedy}.")


def compare(first: SuccessRate, second: SuccessRate) -> Difference:
    """By how much ``first`` exceeds ``second``, with the 95 % interval of the difference.

    Raises:
        ProtocolMismatchError: when they were not measured on the same trials in the same way.
    """
    one, other = ({"task": each.task, **each.protocol.model_dump()} for each in (first, second))
    refuse_differences(one, other, "success rates", "run both under one protocol")
    return rate_difference((first.successes, first.episodes), (second.successes, second.episodes))
