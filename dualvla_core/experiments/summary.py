"""Numbers over training seeds: means, intervals, and differences from a reference variant.

The training seed is what was repeated, so it is what intervals are made of: Student's t over the seeds' means. With
three seeds they are wide, and that is what three seeds know. Seeds may agree by chance closer than their own trials are
precise; success is therefore never taken to vary less between seeds than it does between trials.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, pvariance, stdev
from typing import TypeAlias

from pydantic import Field

from dualvla_core.evaluation.paired import sign_test
from dualvla_core.experiments.outcome import SeedOutcome
from dualvla_core.params import Params

Signs: TypeAlias = Sequence[Sequence[float]]
"""Per seed and trial: 1 where only one of two variants solved it, -1 where only the other did, else 0."""

MEASURES: dict[str, str] = {
    "success": "closed-loop success (%)",
    "unseen": "success on unseen tasks (%)",
    "accuracy": "visual questions right (%)",
    "reasoning": "reasoning, by rule (0 to 100)",
    "alignment": "alignment, by rule (0 to 100)",
    "open_loop": "open-loop action error (normalised)",
    "reasoning_tokens": "reasoning tokens per episode",
}
"""What is reported, and its unit."""


class Estimate(Params):
    """A mean over training seeds."""

    mean: float = Field(description="Mean of the seeds' values.")
    low: float | None = Field(description="Lower end of its 95 % t interval; none where nothing is known to vary.")
    high: float | None = Field(description="Upper end.")
    seeds: tuple[float, ...] = Field(description="The value of each seed.")

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval tells the value from 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


class Difference(Params):
    """A variant minus a reference, trained with the same seeds and measured on the same trials."""

    variant: str = Field(description="The variant.")
    reference: str = Field(description="The variant that is subtracted.")
    measure: str = Field(description="One of `MEASURES`.")
    estimate: Estimate = Field(description="The seeds' differences.")
    better: int | None = Field(description="Trials only the variant solved, over all seeds (success only).")
    worse: int | None = Field(description="Trials only the reference solved.")
    p_value: float | None = Field(description="Of McNemar's exact test on these; it takes trials as independent.")

    @property
    def verdict(self) -> str:
        """What the interval supports."""
        if not self.estimate.excludes_zero:
            return "not told apart"
        return "above" if self.estimate.mean > 0 else "below"


class ExperimentSummary(Params):
    """What an experiment found."""

    experiment: str = Field(description="Its name.")
    references: tuple[str, ...] = Field(description="The variants others are compared with; the first is the subject.")
    seeds: tuple[int, ...] = Field(description="Training seeds.")
    fine_tuning: dict[str, int] = Field(description="By variant, optimizer steps since the specialist.")
    variants: dict[str, dict[str, Estimate]] = Field(description="By variant and measure.")
    differences: tuple[Difference, ...] = Field(description="Every variant against each reference; a pair stands once.")


def estimate(values: Sequence[float], trials: Sequence[Sequence[float]] = ()) -> Estimate:
    """The mean of at least one seed's values, with Student's t interval (n - 1 degrees of freedom).

    Args:
        values: one a seed.
        trials: per seed, those that its value is the mean of; they give the least that seeds are taken to vary by.

    There is no interval with one seed, nor where seeds are equal and their trials unknown or all alike.
    """
    from scipy.stats import t as student  # noqa: PLC0415 - takes a second, and comes with the extra `train`

    mean, half = fmean(values), 0.0
    if len(values) > 1:
        within = fmean(pvariance(each) / len(each) for each in trials) if trials else 0.0
        spread = max(stdev(values), math.sqrt(within))
        half = float(student.ppf(0.975, len(values) - 1)) * spread / math.sqrt(len(values))
    low, high = (mean - half, mean + half) if half else (None, None)
    return Estimate(mean=mean, low=low, high=high, seeds=tuple(values))


def summarise(
    references: Sequence[str],
    seeds: Sequence[SeedOutcome],
    trials: Sequence[Mapping[str, Mapping[tuple[str, int], float]]],
) -> ExperimentSummary:
    """Put the seeds together.

    Args:
        references: at least one of the variants. A pair of references is compared once, against the earlier.
        seeds: at least one, with the same variants.
        trials: per seed, success by variant and trial.
    """
    found = [{name: each.measures() for name, each in seed.variants.items()} for seed in seeds]
    variants = {
        name: {
            measure: estimate(
                [value for value in values if value is not None],
                [[100 * solved for solved in each.get(name, {}).values()] for each in trials]
                if measure == "success"
                else (),
            )
            for measure in MEASURES
            if None not in (values := [each[name][measure] for each in found])
        }
        for name in found[0]
    }
    differences = [
        _difference((name, reference), measure, variants, _signs(name, reference, trials))
        for number, reference in enumerate(references)
        for name, row in variants.items()
        if name not in references[: number + 1]
        for measure in row
        if measure in variants[reference]
    ]
    return ExperimentSummary(
        experiment=seeds[0].experiment,
        references=tuple(references),
        seeds=tuple(seed.seed for seed in seeds),
        fine_tuning={name: each.fine_tuning for name, each in seeds[0].variants.items()},
        variants=variants,
        differences=tuple(differences),
    )


def _difference(
    pair: tuple[str, str], measure: str, variants: Mapping[str, Mapping[str, Estimate]], signs: Signs
) -> Difference:
    """The first of ``pair`` minus the second, seed by seed; ``signs`` are of the trials' differences in success."""
    name, reference = pair
    own, other = variants[name][measure], variants[reference][measure]
    better = worse = p_value = None
    if measure == "success":
        better, worse = (sum(sign == wanted for seed in signs for sign in seed) for wanted in (1, -1))
        p_value = sign_test(better, worse)
    values = [one - two for one, two in zip(own.seeds, other.seeds, strict=True)]
    found = estimate(values, [[100 * sign for sign in seed] for seed in signs] if measure == "success" else ())
    return Difference(
        variant=name,
        reference=reference,
        measure=measure,
        estimate=found,
        better=better,
        worse=worse,
        p_value=p_value,
    )


def _signs(name: str, reference: str, trials: Sequence[Mapping[str, Mapping[tuple[str, int], float]]]) -> Signs:
    """Per seed, success of a variant minus that of the reference, trial by trial."""
    return [[success - each[reference][trial] for trial, success in each.get(name, {}).items()] for each in trials]
