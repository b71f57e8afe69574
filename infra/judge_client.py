"""Judges behind an endpoint: of trajectories with images (VLA Score), and of free answers (MM-Vet)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from dualvla_core.evaluation.benchmarks.rules.judged import JudgeError
from dualvla_core.vla_score.config import VlmJudgeConfig
from dualvla_core.vla_score.judge import MissingVerdictError
from dualvla_core.vla_score.prompt import Part, Text
from dualvla_core.vla_score.vlm_judge import Completion
from infra.chat_endpoint import ChatEndpoint

_LONGEST_GRADE = 16  # tokens; a number needs fewer


class OpenAIChat:
    """Implements `ChatModel` of a vision-language judge."""

    def __init__(self, config: VlmJudgeConfig, endpoint: ChatEndpoint) -> None:
        self._temperature = config.temperature
        self._endpoint = endpoint

    def complete(self, system: str, turn: Sequence[Part], *, max_tokens: int, seed: int) -> Completion:
        """See `ChatModel.complete`."""
        return self._endpoint.ask(
            [
                {"role": "system", "content": system},
                {"role": "user", "content": [_content(part) for part in turn]},
            ],
            temperature=self._temperature,
            max_tokens=max_tokens,
            seed=seed,
            response_format={"type": "json_object"},
        )


class AnswerGrader:
    """Implements `rules.judged.Judge`; an endpoint that answers nothing at all ends the run instead of grading."""

    def __init__(self, endpoint: ChatEndpoint) -> None:
        self._endpoint = endpoint

    def complete(self, prompt: str, temperature: float) -> str:
        """See `Judge.complete`."""
        turn = [{"role": "user", "content": prompt}]
        try:
            return self._endpoint.ask(turn, temperature=temperature, max_tokens=_LONGEST_GRADE).text
        except MissingVerdictError as error:
            raise JudgeError(str(error)) from error


def _content(part: Part) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    data = base64.b64encode(part.jpeg).decode("ascii")
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}
