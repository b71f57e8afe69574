"""Which initial conditions are held out: a property of their name alone, so a growing dataset never reshuffles."""

from __future__ import annotations

import hashlib
from typing import Literal, TypeAlias

Split: TypeAlias = Literal["train", "held_out"]


def initial_condition(task: str, seed: int) -> str:
    """The name of an initial condition, such as ``drawer-open/1007``."""
    return f"{task}/{seed}"


def split_of(initial_condition: str, held_out_fraction: float) -> Split:
    """The split an initial condition belongs to.

    Its SHA-256 is read as a number in [0, 1); below ``held_out_fraction`` it is held out. A larger fraction therefore
    only ever moves conditions from train to held_out.
    """
    digest = hashlib.sha256(initial_condition.encode()).digest()
    position: float = int.from_bytes(digest[:6], "big") / 2**48  # 48 bits are exact in a float, and 1.0 is not reached
    return "held_out" if position < held_out_fraction else "train"
