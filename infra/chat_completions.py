"""A language model behind an OpenAI-compatible endpoint, as the judge of free answers."""

from __future__ import annotations

import httpx

from dualvla_core.evaluation.benchmarks.rules.judged import JudgeError
from infra.settings import Settings

_TIMEOUT_S = 60.0
_LONGEST_REPLY = 16  # tokens; a grade needs fewer


class ChatCompletions:
    """A `Judge` that asks ``<url>/chat/completions``."""

    def __init__(self, url: str, model: str, key: str | None = None) -> None:
        self._url, self._model = url.rstrip("/"), model
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def complete(self, prompt: str, temperature: float) -> str:
        """See `Judge.complete`."""
        request = {
            "model": self._model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": temperature,
            "max_tokens": _LONGEST_REPLY,
        }
        try:
            response = httpx.post(
                f"{self._url}/chat/completions", json=request, headers=self._headers, timeout=_TIMEOUT_S
            )
            response.raise_for_status()
            return str(response.json()["choices"][0]["message"]["content"])
        except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise JudgeError(f"{self._model} at {self._url} gave no answer ({reason})") from error


def configured_judge(settings: Settings, model: str) -> ChatCompletions | None:
    """The judge at this machine's endpoint, or None where no endpoint is set."""
    if settings.judge_url is None:
        return None
    key = None if settings.judge_key is None else settings.judge_key.get_secret_value()
    return ChatCompletions(settings.judge_url, model, key)
