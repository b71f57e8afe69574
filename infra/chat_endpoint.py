"""The one client of OpenAI-compatible endpoints: waits for what may pass, gives up at once on what cannot."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from pydantic import SecretStr

from dualvla_core.errors import ConfigError, DependencyError, UserError
from dualvla_core.vla_score.judge import MissingVerdictError
from dualvla_core.vla_score.vlm_judge import Completion
from infra.settings import Settings

try:
    import openai
    import tenacity
except ImportError as error:
    raise DependencyError(
        f"Judges behind an endpoint need openai and tenacity ({error}): install the extra with "
        "`pip install 'dualvla[judge]'`."
    ) from error

_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0
_NO_KEY = "none"  # local servers ask for none, the client insists on one

_PASSING = (openai.APIConnectionError, openai.RateLimitError, openai.InternalServerError, openai.ConflictError)
"""Errors that may pass: no connection, time-outs, 429, 5xx, 409."""


class JudgeEndpointError(UserError):
    """An endpoint that answers no request: unreachable for too long, or refusing key, model or quota."""


class ChatEndpoint:
    """A model behind the endpoint of the settings; may be asked from several threads.

    ``sleep`` waits so many seconds between attempts.

    Raises:
        ConfigError: when no endpoint is set.
    """

    def __init__(self, model: str, settings: Settings, sleep: Callable[[float], None] = time.sleep) -> None:
        if not settings.judge_url:
            raise ConfigError("This judge has no endpoint; set DUALVLA_JUDGE_URL, such as http://127.0.0.1:8000/v1.")
        self._model = model
        self._url = settings.judge_url
        self._key = settings.judge_key or SecretStr(_NO_KEY)
        self._patience_s = settings.judge_patience_s
        self._sleep = sleep
        self._down: str | None = None
        self._counting = threading.Lock()
        self.requests = self.prompt_tokens = self.completion_tokens = 0
        self._client = openai.OpenAI(
            base_url=self._url,
            api_key=self._key.get_secret_value(),
            timeout=settings.judge_timeout_s,
            max_retries=0,  # tenacity below waits longer and can be tested
        )

    def ask(self, messages: list[dict[str, Any]], **options: Any) -> Completion:
        """The answer to a conversation; ``options`` are those of the protocol, such as ``temperature``.

        Raises:
            MissingVerdictError: when this request is refused or answered by nothing that can be read.
            JudgeEndpointError: when no request can be answered.
        """
        if self._down is not None:  # one thread found out; the others need not wait as long again
            raise JudgeEndpointError(self._down)
        patient = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_may_pass),
            wait=_wait,
            stop=lambda state: state.idle_for >= self._patience_s,
            sleep=self._sleep,
            reraise=True,
        )
        create: Any = self._client.chat.completions.create
        try:
            answer = patient(create, model=self._model, messages=messages, **options)
        except openai.APIError as error:
            raise self._told(error) from None  # the chain would carry headers and with them the key
        except ValueError as error:
            raise MissingVerdictError(f"The endpoint's answer is no JSON ({type(error).__name__}).") from None
        return self._completion(answer)

    def _completion(self, answer: Any) -> Completion:
        choices = getattr(answer, "choices", None)
        if not choices:
            raise MissingVerdictError("The endpoint answered without any choice; it may not speak this protocol.")
        usage = getattr(answer, "usage", None)
        sent, received = (getattr(usage, name, None) or 0 for name in ("prompt_tokens", "completion_tokens"))
        with self._counting:
            self.requests += 1
            self.prompt_tokens += sent
            self.completion_tokens += received
        message = choices[0].message
        refusal = getattr(message, "refusal", None)
        return Completion(
            text=message.content or refusal or "",
            finish_reason="refusal" if refusal else str(choices[0].finish_reason),
            prompt_tokens=sent,
            completion_tokens=received,
        )

    def _told(self, error: openai.APIError) -> UserError:
        """One sentence without the key: servers like to repeat it."""
        status = getattr(error, "status_code", None)
        said = str(error.message).replace(self._key.get_secret_value(), "***")
        if isinstance(error, openai.BadRequestError | openai.UnprocessableEntityError):
            return MissingVerdictError(f"The endpoint refused this request ({status}: {said}).")
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            self._down = f"The judge's endpoint {self._url} refuses the key ({status}); set DUALVLA_JUDGE_KEY."
        elif isinstance(error, openai.NotFoundError):
            self._down = (
                f"The judge's endpoint {self._url} knows no model {self._model!r} ({said}); name one it serves."
            )
        else:
            kind = f"{status}: {said}" if status else type(error).__name__
            self._down = (
                f"The judge's endpoint {self._url} gave no answer for {self._patience_s:g} s or more ({kind}); run "
                "again when it does: answers are kept, and only the missing ones are asked for."
            )
        return JudgeEndpointError(self._down)


def _may_pass(error: BaseException) -> bool:
    exhausted = getattr(error, "code", None) == "insufficient_quota"  # a 429 that no waiting cures
    return isinstance(error, _PASSING) and not exhausted


def _wait(state: tenacity.RetryCallState) -> float:
    """As long as the server asks for, else longer and longer, and not all threads at once (s)."""
    error = state.outcome.exception() if state.outcome is not None else None
    asked = getattr(getattr(error, "response", None), "headers", {}).get("retry-after", "")
    if asked.isdecimal():
        return min(float(asked), _LONGEST_WAIT_S)
    return float(tenacity.wait_exponential_jitter(initial=_FIRST_WAIT_S, max=_LONGEST_WAIT_S)(state))
