"""A vision-language model as the judge, behind any `ChatModel`: a remote endpoint or a model of this machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from dualvla_core.errors import ConfigError
from dualvla_core.evaluation.policy import REASONING_POLICIES
from dualvla_core.evaluation.trajectory import Trajectory
from dualvla_core.vla_score.config import VlmJudgeConfig
from dualvla_core.vla_score.judge import JudgeIdentity, Judgement, MissingVerdictError
from dualvla_core.vla_score.prompt import (
    PROMPT_DIGEST,
    AnswerError,
    Example,
    Part,
    Text,
    correction,
    parse_answer,
    system_prompt,
    user_turn,
)

_MOST_ROOM = 4  # times max_tokens that a truncated answer may be given when it is asked for again


@dataclass(frozen=True)
class Completion:
    """A model's answer."""

    text: str
    finish_reason: str
    """``stop``, ``length`` where it was cut off, ``refusal`` or ``content_filter`` where it was withheld."""
    prompt_tokens: int
    completion_tokens: int


class ChatModel(Protocol):
    """Answers one turn with images; may be called from several threads."""

    def complete(self, system: str, turn: Sequence[Part], *, max_tokens: int, seed: int) -> Completion:
        """One answer.

        Raises:
            MissingVerdictError: when this request is refused; others may be answered.
            UserError: when no request can be answered (wrong key, endpoint down for too long).
        """


class VerdictStore(Protocol):
    """Where judgements are kept, by the digest of everything that was asked and of who was asked."""

    def get(self, digest: str) -> Judgement | None:
        """The judgement stored under a digest."""

    def put(self, digest: str, judgement: Judgement) -> None:
        """Store a judgement."""


class VlmJudge:
    """Implements `Judge`; every judgement goes through the store, so nothing is asked twice.

    ``examples`` gives the judged attempts to show for a trajectory; ``knowledge`` identifies where they come from.

    Raises:
        ConfigError: when no model is named.
    """

    def __init__(
        self,
        config: VlmJudgeConfig,
        model: ChatModel,
        store: VerdictStore,
        *,
        name: str = "vlm",
        examples: Callable[[Trajectory], Sequence[Example]] = lambda _: (),
        knowledge: str = "",
    ) -> None:
        if not config.model:
            raise ConfigError(f"The judge {name} has no model; set score.vlm.model to its name.")
        self._config = config
        self._model = model
        self._store = store
        self._examples = examples
        settings = config.model_dump_json(exclude={"model", "attempts"}) + knowledge
        self.identity = JudgeIdentity(
            judge=name,
            model=config.model,
            prompt=PROMPT_DIGEST,
            settings=hashlib.sha256(settings.encode()).hexdigest()[:12],
        )

    def judge(self, trajectory: Trajectory) -> Judgement:
        """See `Judge.judge`."""
        reasons = trajectory.policy_type in REASONING_POLICIES
        turn = user_turn(trajectory, self._config.frames, self._examples(trajectory))
        digest = request_digest(self.identity, system_prompt(reasons), turn)
        known = self._store.get(digest)
        if known is not None:
            return known
        answers = [self._ask(turn, reasons, seed) for seed in range(self._config.repeats)]
        judgement = Judgement(
            verdicts=tuple(verdict for each in answers for verdict in each.verdicts),
            prompt_tokens=sum(each.prompt_tokens for each in answers),
            completion_tokens=sum(each.completion_tokens for each in answers),
        )
        self._store.put(digest, judgement)
        return judgement

    def _ask(self, turn: list[Part], reasons: bool, seed: int) -> Judgement:
        """One verdict; an answer that is none is asked for again, with the reason, and with more room if cut off."""
        sent = received = 0
        reason, room = "", self._config.max_tokens
        for _ in range(self._config.attempts):
            asked = [*turn, correction(reason)] if reason else turn
            answer = self._model.complete(system_prompt(reasons), asked, max_tokens=room, seed=seed)
            sent, received = sent + answer.prompt_tokens, received + answer.completion_tokens
            if answer.finish_reason == "length":
                reason = "it was cut off before its end; be brief"
                room = min(2 * room, _MOST_ROOM * self._config.max_tokens)
                continue
            try:
                verdict = parse_answer(answer.text, reasons)
            except AnswerError as error:
                reason = f"the model declined ({answer.finish_reason})" if _withheld(answer) else str(error)
                continue
            return Judgement(verdicts=(verdict,), prompt_tokens=sent, completion_tokens=received)
        raise MissingVerdictError(
            f"No usable verdict from {self.identity.model} in {self._config.attempts} answers; the last: {reason}."
        )


def request_digest(identity: JudgeIdentity, system: str, turn: Sequence[Part]) -> str:
    """The digest of everything that is asked, images included, and of who is asked."""
    hashed = hashlib.sha256(json.dumps([identity.model_dump(), system]).encode())
    for part in turn:
        content = part.text.encode() if isinstance(part, Text) else part.jpeg
        hashed.update(b"t" if isinstance(part, Text) else b"i")
        hashed.update(len(content).to_bytes(8, "big"))
        hashed.update(content)
    return hashed.hexdigest()


def _withheld(answer: Completion) -> bool:
    return answer.finish_reason in {"refusal", "content_filter"}
