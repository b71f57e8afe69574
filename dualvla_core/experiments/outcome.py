"""What one training seed came to: every variant's numbers, and the trials behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, TypeAdapter, ValidationError

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.trajectory import Trajectory, read_rollouts, read_trajectories
from dualvla_core.params import Params, Summary
from dualvla_core.report.context import TrainedPolicy
from dualvla_core.report.results.measures import measure_policy
from dualvla_core.report.results.model import PolicyResult

OUTCOMES_FILE = "outcomes.json"
TRIALS_FILE = "trials.parquet"
TRIALS = pa.schema(
    [
        pa.field("variant", pa.string(), False),
        pa.field("task", pa.string(), False),
        pa.field("seed", pa.int64(), False),
        pa.field("success", pa.bool_(), False),
    ]
)
"""One row per variant and played episode; ``seed`` names the episode's initial condition."""


class Tokenizer(Protocol):
    """Counts what a policy has generated."""

    def encode(self, text: str) -> Sequence[int]:
        """The tokens of a text."""


class Outcome(Params):
    """One variant, trained with one seed."""

    result: PolicyResult = Field(description="What was measured of it.")
    fine_tuning: int = Field(description="Optimizer steps since the specialist, over all trainings that led to it.")
    reasoning_tokens: float | None = Field(description="Tokens of reasoning generated per episode; none = not played.")
    spoken: float | None = Field(description="Share of decisions at which it said something.")
    unseen: float | None = Field(description="Success on tasks that are in no demonstration; none = not played.")

    def measures(self) -> dict[str, float | None]:
        """Its numbers by the names of `summary.MEASURES`."""
        result, score = self.result, self.result.score
        return {
            "success": None if result.success is None else 100 * result.success.value,
            "unseen": None if self.unseen is None else 100 * self.unseen,
            "accuracy": None if result.accuracy is None else 100 * result.accuracy.value,
            "reasoning": None if score is None or score.reasoning is None else 100 * score.reasoning.value,
            "alignment": None if score is None or score.alignment is None else 100 * score.alignment.value,
            "open_loop": None if result.open_loop is None else result.open_loop.error,
            "reasoning_tokens": self.reasoning_tokens,
        }


class SeedOutcome(Params):
    """All variants of an experiment, trained with one seed."""

    experiment: str = Field(description="Name of the experiment.")
    seed: int = Field(description="Training seed.")
    variants: dict[str, Outcome] = Field(description="By variant, in the experiment's order.")


@dataclass(frozen=True)
class Variant:
    """A trained variant and what it takes to measure it."""

    policy: TrainedPolicy
    tokenizer: Tokenizer
    fine_tuning: int
    """Optimizer steps since the specialist."""
    unseen: Path | None = None
    """Rollouts on tasks without demonstrations, where they were played."""


def measure_seed(experiment: str, seed: int, variants: Sequence[Variant], output: Path) -> Summary:
    """Write ``outcomes.json`` and ``trials.parquet`` of the variants trained with ``seed`` into an empty folder."""
    found = SeedOutcome(
        experiment=experiment, seed=seed, variants={each.policy.name: _outcome(each) for each in variants}
    )
    trials = [row for each in variants for row in _trials(each.policy.name, each.policy.rollouts)]
    (output / OUTCOMES_FILE).write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(trials, TRIALS), output / TRIALS_FILE, compression="zstd")
    numbers = {
        f"{name}.{measure}": value
        for name, each in found.variants.items()
        for measure, value in each.measures().items()
        if value is not None
    }
    return {"seed": seed, **numbers}


def read_seed(folder: Path) -> SeedOutcome:
    """Read what `measure_seed` wrote. Raises `ArtifactError` when it cannot be read."""
    try:
        return TypeAdapter(SeedOutcome).validate_json((folder / OUTCOMES_FILE).read_bytes())
    except (OSError, ValidationError) as error:
        raise ArtifactError(f"{OUTCOMES_FILE} of {folder.name!r} cannot be read; run the experiment again.") from error


def read_trials(folder: Path) -> dict[str, dict[tuple[str, int], float]]:
    """Success by variant, then by task and initial condition."""
    found: dict[str, dict[tuple[str, int], float]] = {}
    for row in pq.read_table(folder / TRIALS_FILE, schema=TRIALS).to_pylist():
        found.setdefault(row["variant"], {})[row["task"], row["seed"]] = float(row["success"])
    return found


def _outcome(variant: Variant) -> Outcome:
    policy = variant.policy
    result = measure_policy(policy, asked=True)
    played = [] if policy.rollouts is None else list(read_trajectories(policy.rollouts))
    decisions, spoken = (0, 0) if result.score is None else (result.score.decisions, result.score.spoken)
    unseen = [] if variant.unseen is None else read_rollouts(variant.unseen)["success"].to_pylist()
    return Outcome(
        result=result,
        fine_tuning=variant.fine_tuning,
        reasoning_tokens=fmean(_tokens(each, variant.tokenizer) for each in played) if played else None,
        spoken=spoken / decisions if decisions else None,
        unseen=fmean(map(float, unseen)) if unseen else None,
    )


def _tokens(trajectory: Trajectory, tokenizer: Tokenizer) -> int:
    return sum(len(tokenizer.encode(utterance.text)) for utterance in trajectory.reasoning)


def _trials(variant: str, rollouts: Path | None) -> list[dict[str, Any]]:
    if rollouts is None:
        return []
    return [
        {"variant": variant, **{name: row[name] for name in ("task", "seed", "success")}}
        for row in read_rollouts(rollouts).to_pylist()
    ]
