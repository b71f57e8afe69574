"""Holds a judge to what it must see: defects planted in trajectories of scripted experts."""

from __future__ import annotations

from dualvla_core.params import Summary
from dualvla_core.vla_score.config import ProbeConfig, ScoreConfig
from dualvla_core.vla_score.experts import ExpertsConfig, record_experts
from dualvla_core.vla_score.probe import probe_judge as probe
from infra.manifest import ArtifactRef
from tasks.judging import judge_facts, judge_inputs, opened, tell_bill
from tasks.stage import Job, RunContext, Work, stage


@stage("record_experts", version=1)
def record_expert_trajectories(_run: RunContext, config: ExpertsConfig) -> Work:
    """Expert episodes with their narration, clean and with noise on the actions."""
    return Work(
        params=config.model_dump(mode="json"), body=lambda job: record_experts(config, job.output, job.progress)
    )


@stage("probe_judge", version=1)
def probe_judge(
    run: RunContext, config: ScoreConfig, limits: ProbeConfig, experts: ExpertsConfig, recording: ArtifactRef
) -> Work:
    """Planted defect x dimension, at every severity, as table and page."""

    def body(job: Job) -> Summary:
        judge = opened(job, config)
        try:
            return probe(
                (config, limits, experts.jitter),
                job.store.folder(recording),
                judge.judge,
                job.output,
                job.progress,
                workers=judge.workers,
            )
        finally:
            tell_bill(judge)

    # what a score is made of beyond its judge says nothing about what the judge sees
    judged = {name: value for name, value in config.keyed().items() if not name.startswith("min_")}
    looked_into = {role: ref for role, ref in judge_inputs(run, config).items() if role == "knowledge"}
    return Work(
        params={"judge": judged, "limits": limits.model_dump(mode="json")},
        inputs={"recording": recording, **looked_into},
        facts=judge_facts(config),
        body=body,
    )
