"""Teachers that cannot teach a student are turned away before the first step."""

from __future__ import annotations

from typing import Any, cast

import pytest

from dualvla_core.distillation.compatibility import check_action_teacher, check_reasoning_teacher
from dualvla_core.errors import ConfigError
from dualvla_core.models.config import ModelConfig
from dualvla_core.models.dualvla import DualVLA


class _Tokenizer:
    def __init__(self, *words: str) -> None:
        self._vocabulary = {word: index for index, word in enumerate(words)}

    def get_vocab(self) -> dict[str, int]:
        return self._vocabulary


class _Policy:
    """What is compared of a policy."""

    def __init__(self, **changes: Any) -> None:
        self.config = ModelConfig(**changes.pop("config", {}))
        self.tokenizer, self.cameras, self.embodiment = _Tokenizer("a", "b"), ("front",), "robot"
        self.statistics = {"robot": {"action": {"q01": [0.0]}}}
        vars(self).update(changes)


def policy(**changes: Any) -> DualVLA:
    return cast("DualVLA", _Policy(**changes))


def test_equal_policies_fit() -> None:
    check_action_teacher(policy(), policy())
    check_reasoning_teacher(policy(), policy())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"embodiment": "other"}, "embodiment"),
        ({"cameras": ("front", "wrist")}, "cameras"),
        ({"config": {"action_chunk": 3}}, "action_chunk"),
        ({"config": {"action_queries": 3}}, "action_queries"),
        ({"config": {"use_state": False}}, "use_state"),
        ({"config": {"image_size": 32, "image_tokens": 4}}, "image_size"),
        ({"statistics": {"robot": {"action": {"q01": [0.1]}}}}, "statistics"),
        ({"tokenizer": _Tokenizer("b", "a")}, "vocabulary"),
    ],
)
def test_an_action_teacher_must_agree(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=f"action teacher has other {named}"):
        check_action_teacher(policy(**change), policy())


def test_a_reasoning_teacher_may_drive_another_robot_but_not_speak_another_language() -> None:
    check_reasoning_teacher(policy(embodiment="other", config={"action_chunk": 3}), policy())
    with pytest.raises(ConfigError, match="vocabulary"):
        check_reasoning_teacher(policy(tokenizer=_Tokenizer("a", "c")), policy())
    with pytest.raises(ConfigError, match="image_size"):
        check_reasoning_teacher(policy(config={"image_size": 32, "image_tokens": 4}), policy())
