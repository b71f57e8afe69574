"""Puts an experiment's measures together: per training seed, and over all of them."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from dualvla_core.experiments.config import ExperimentName
from dualvla_core.experiments.outcome import Tokenizer, Variant, measure_seed
from dualvla_core.experiments.page import ExperimentText, publish
from dualvla_core.params import Params, Summary
from infra.artifact_store import ArtifactStore
from infra.manifest import ArtifactRef
from tasks.publish_report import PolicyArtifacts, trained_policy
from tasks.stage import Job, RunContext, Work, stage


class VariantArtifacts(Params):
    """A trained variant of an experiment, with its measures."""

    policy: PolicyArtifacts = Field(description="Checkpoint and measures.")
    fine_tuning: int = Field(description="Optimizer steps since the specialist.")
    unseen: ArtifactRef | None = Field(default=None, description="Rollouts on tasks without demonstrations.")


@stage("measure_experiment", version=1)
def measure_experiment(
    _run: RunContext, experiment: ExperimentName, seed: int, variants: Mapping[str, VariantArtifacts]
) -> Work:
    """The numbers of all variants trained with one seed."""
    inputs: dict[str, ArtifactRef | tuple[ArtifactRef, ...]] = {}
    for name, variant in variants.items():
        inputs |= variant.policy.roles(name)
        if variant.unseen is not None:
            inputs[f"{name}.unseen"] = variant.unseen

    def body(job: Job) -> Summary:
        found = [_variant(job.store, name, variant) for name, variant in variants.items()]
        return measure_seed(experiment, seed, found, job.output)

    steps = {name: variant.fine_tuning for name, variant in variants.items()}
    return Work(params={"experiment": experiment, "seed": seed, "fine_tuning": steps}, inputs=inputs, body=body)


@stage("publish_experiment", version=4)
def publish_experiment(
    _run: RunContext,
    references: tuple[str, ...],
    text: ExperimentText,
    setting: Mapping[str, str],
    seeds: tuple[ArtifactRef, ...],
) -> Work:
    """``experiment.html``, ``experiment.json`` and ``section.md`` over all seeds."""

    def body(job: Job) -> Summary:
        return publish(references, text, [job.store.folder(seed) for seed in seeds], setting, job.output)

    params = {"references": list(references), "text": text.model_dump(mode="json"), "setting": dict(setting)}
    return Work(params=params, inputs={"seeds": seeds}, body=body)


def _variant(store: ArtifactStore, name: str, variant: VariantArtifacts) -> Variant:
    return Variant(
        policy=trained_policy(store, name, variant.policy),
        tokenizer=_tokenizer(store, variant.policy.checkpoint),
        fine_tuning=variant.fine_tuning,
        unseen=None if variant.unseen is None else store.folder(variant.unseen),
    )


def _tokenizer(store: ArtifactStore, checkpoint: ArtifactRef) -> Tokenizer:
    from transformers import AutoTokenizer  # noqa: PLC0415 - an extra, and it takes seconds

    tokenizer: Tokenizer = AutoTokenizer.from_pretrained(store.folder(checkpoint))
    return tokenizer
