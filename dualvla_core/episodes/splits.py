"""Which initial conditions are held out: a property of their name alone, so a growing dataset never reshuffles."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal, TypeAlias

Split: TypeAlias = Literal["train", "held_out"]


def initial_condition(task: str, seed: int) -> str:
    """The name of an initial condition, such as ``drawer-open/1007``."""
    return f"{task}/{seed}"


def splits_of(initial_conditions: Iterable[str], held_out_fraction: float) -> dict[str, Split]:
    """The split of each initial condition.

    Its SHA-256 is read as a number in [0, 1); below ``held_out_fraction`` it is held out. A larger fraction therefore
    only ever moves conditions from train to held_out. Of few conditions the hash may leave one side empty: then the
    one nearest to it goes there. A single condition is for training; a fraction of 0 holds nothing out.
    """
    positions = {condition: position_of(condition) for condition in initial_conditions}
    splits: dict[str, Split] = {
        condition: "held_out" if position < held_out_fraction else "train" for condition, position in positions.items()
    }
    ordered = sorted(positions, key=positions.__getitem__)
    if ordered and held_out_fraction > 0:
        splits[ordered[0]], splits[ordered[-1]] = "held_out", "train"  # a single condition is for training
    return splits


def position_of(initial_condition: str) -> float:
    """The SHA-256 of an initial condition's name, read as a number in [0, 1)."""
    digest = hashlib.sha256(initial_condition.encode()).digest()
    position: float = int.from_bytes(digest[:6], "big") / 2**48  # 48 bits are exact in a float, and 1.0 is not reached
    return position
