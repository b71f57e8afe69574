"""What every stage that judges shares: what its key holds of the judge, and how the judge is opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dualvla_core.vla_score.config import ScoreConfig
from dualvla_core.vla_score.prompt import PROMPT_DIGEST
from dualvla_core.vla_score.rules.judge import RULES_VERSION
from dualvla_core.vla_score.validation import AgreementReport
from infra.artifact_store import ArtifactStore
from infra.digests import digest_file
from infra.judge import KNOWLEDGE_STAGES, OpenJudge, named_artifact, open_judge
from infra.manifest import ArtifactRef
from infra.settings import Settings
from tasks.progress import tell
from tasks.stage import Job, RunContext, open_artifacts

AGREEMENT_FILE = "agreement.json"


def judge_inputs(run: RunContext, config: ScoreConfig) -> dict[str, ArtifactRef]:
    """The artifacts a judge looks into: its knowledge base, and the agreement that validates it."""
    store, inputs = open_artifacts(run), {}
    if config.judge in {"vlm", "local-vlm"} and config.knowledge.base is not None:
        inputs["knowledge"] = named_artifact(store, config.knowledge.base, KNOWLEDGE_STAGES)
    if config.agreement is not None:
        inputs["agreement"] = named_artifact(store, config.agreement, ("measure_agreement",))
    return inputs


def judge_facts(config: ScoreConfig) -> Mapping[str, str]:
    """What a judge is made of that is no parameter: its rules, its prompt, or the file it replays."""
    if config.judge == "rules":
        return {"rules": RULES_VERSION}
    if config.judge == "recorded":
        recorded = Path(config.recorded) if config.recorded is not None else None
        return {"recorded": digest_file(recorded) if recorded is not None and recorded.is_file() else "absent"}
    return {"prompt": PROMPT_DIGEST}


def opened(job: Job, config: ScoreConfig) -> OpenJudge:
    """The judge; its key and address come from this machine's settings and stay out of every record."""
    return open_judge(config, Settings(), job.store)


def tell_bill(judge: OpenJudge) -> None:
    """Say what the judge's requests came to."""
    if bill := judge.bill():
        tell(bill)


def read_agreement(store: ArtifactStore, ref: ArtifactRef | None) -> AgreementReport | None:
    """The report of an agreement stage."""
    if ref is None:
        return None
    return AgreementReport.model_validate_json((store.folder(ref) / AGREEMENT_FILE).read_bytes())
