"""Whether a teacher can teach a student, found out before the first step."""

from __future__ import annotations

from dualvla_core.errors import ConfigError
from dualvla_core.models.dualvla import DualVLA


def check_action_teacher(teacher: DualVLA, student: DualVLA) -> None:
    """Raise `ConfigError` unless both predict the same chunk of equally normalised actions from the same cameras."""
    _must_agree("action teacher", "embodiment", teacher.embodiment, student.embodiment)
    _must_agree("action teacher", "cameras", teacher.cameras, student.cameras)
    _must_agree("action teacher", "action_head", teacher.config.action_head, student.config.action_head)
    _must_agree("action teacher", "action_chunk", teacher.config.action_chunk, student.config.action_chunk)
    _must_agree("action teacher", "action_queries", teacher.config.action_queries, student.config.action_queries)
    _must_agree("action teacher", "use_state", teacher.config.use_state, student.config.use_state)
    _must_agree("action teacher", "image_size", teacher.config.image_size, student.config.image_size)
    _must_agree("action teacher", "statistics", teacher.statistics, student.statistics)
    _must_agree("action teacher", "vocabulary", teacher.tokenizer.get_vocab(), student.tokenizer.get_vocab())


def check_reasoning_teacher(teacher: DualVLA, student: DualVLA) -> None:
    """Raise `ConfigError` unless both read the same images and speak the same vocabulary."""
    _must_agree("reasoning teacher", "image_size", teacher.config.image_size, student.config.image_size)
    _must_agree("reasoning teacher", "vocabulary", teacher.tokenizer.get_vocab(), student.tokenizer.get_vocab())


def _must_agree(role: str, quantity: str, taught: object, learnt: object) -> None:
    if taught == learnt:
        return
    found = "" if isinstance(taught, dict) else f" ({taught!r}, the student {learnt!r})"
    raise ConfigError(f"The {role} has other {quantity} than the student{found}; train both on the same configuration.")
