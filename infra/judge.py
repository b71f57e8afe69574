"""Opens the configured judge: rules, recorded verdicts, a model of this machine, or one behind an endpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dualvla_core.errors import ConfigError
from dualvla_core.evaluation.benchmarks.rules.judged import Judge as AnswerJudge
from dualvla_core.vla_score.config import ScoreConfig
from dualvla_core.vla_score.judge import Judge
from dualvla_core.vla_score.knowledge import read_knowledge_base
from dualvla_core.vla_score.recorded import RecordedJudge
from dualvla_core.vla_score.retrieval import Retriever
from dualvla_core.vla_score.rules.judge import RuleJudge
from dualvla_core.vla_score.vlm_judge import ChatModel, VlmJudge
from infra.artifact_store import ArtifactStore
from infra.judge_cache import ObjectVerdictStore
from infra.manifest import ArtifactRef
from infra.settings import Settings


@dataclass(frozen=True)
class OpenJudge:
    """A judge that is ready, and how it is to be used."""

    judge: Judge
    workers: int = 1
    """Trajectories it is asked about at once."""
    bill: Callable[[], str] = lambda: ""
    """What the requests made so far came to, in a sentence; empty where nothing is paid for."""


def open_judge(config: ScoreConfig, settings: Settings, store: ArtifactStore) -> OpenJudge:
    """The judge of a configuration. Raises `ConfigError` for one that cannot judge."""
    return _OPENERS[config.judge](config, settings, store)


def open_grader(settings: Settings, model: str) -> AnswerJudge | None:
    """The judge of free answers at this machine's endpoint, or None where no endpoint is set."""
    if settings.judge_url is None:
        return None
    from infra.chat_endpoint import ChatEndpoint  # noqa: PLC0415 - the client is an extra
    from infra.judge_client import AnswerGrader  # noqa: PLC0415

    return AnswerGrader(ChatEndpoint(model, settings))


def named_artifact(store: ArtifactStore, name: str, stages: tuple[str, ...]) -> ArtifactRef:
    """The artifact ``STAGE/KEY`` names. Raises `ConfigError` when there is none, or it is of no such stage."""
    stage, _, key = name.partition("/")
    manifest = store.find(stage, key) if stage in stages and key else None
    if manifest is None:
        raise ConfigError(f"There is no artifact {name!r}; expected STAGE/KEY with a stage of {', '.join(stages)}.")
    return manifest.ref


KNOWLEDGE_STAGES = ("review_knowledge_base", "build_knowledge_base")


def _rules(config: ScoreConfig, _settings: Settings, _store: ArtifactStore) -> OpenJudge:
    return OpenJudge(RuleJudge(config.rules))


def _recorded(config: ScoreConfig, _settings: Settings, _store: ArtifactStore) -> OpenJudge:
    return OpenJudge(RecordedJudge(config.recorded))


def _local(config: ScoreConfig, _settings: Settings, store: ArtifactStore) -> OpenJudge:
    from dualvla_core.vla_score.local_vlm import LocalChat  # noqa: PLC0415 - torch is an extra

    if not config.vlm.model:
        raise ConfigError("The judge local-vlm has no model; set score.vlm.model to a folder or hub id.")
    return OpenJudge(_vlm_judge(config, LocalChat(config.vlm.model), store))


def _remote(config: ScoreConfig, settings: Settings, store: ArtifactStore) -> OpenJudge:
    from infra.chat_endpoint import ChatEndpoint  # noqa: PLC0415 - the client is an extra
    from infra.judge_client import OpenAIChat  # noqa: PLC0415

    asked = ChatEndpoint(config.vlm.model, settings)

    def bill() -> str:
        cost = asked.prompt_tokens * settings.judge_input_price + asked.completion_tokens * settings.judge_output_price
        priced = f", {cost / 1e6:.2f} at the prices set" if cost else ""
        return (
            f"{asked.requests} requests to {config.vlm.model}: {asked.prompt_tokens} tokens sent, "
            f"{asked.completion_tokens} received{priced}."
        )

    return OpenJudge(_vlm_judge(config, OpenAIChat(config.vlm, asked), store), settings.judge_concurrency, bill)


def _vlm_judge(config: ScoreConfig, chat: ChatModel, store: ArtifactStore) -> VlmJudge:
    verdicts = ObjectVerdictStore(store.objects)
    if config.knowledge.base is None:
        return VlmJudge(config.vlm, chat, verdicts, name=config.judge)
    base = named_artifact(store, config.knowledge.base, KNOWLEDGE_STAGES)
    examples = Retriever(read_knowledge_base(store.folder(base)), config.knowledge)
    knowledge = config.knowledge.model_dump_json(exclude={"base"}) + base.digest
    return VlmJudge(config.vlm, chat, verdicts, name=config.judge, examples=examples, knowledge=knowledge)


_OPENERS: dict[str, Callable[[ScoreConfig, Settings, ArtifactStore], OpenJudge]] = {
    "rules": _rules,
    "recorded": _recorded,
    "local-vlm": _local,
    "vlm": _remote,
}
