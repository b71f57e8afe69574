from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dualvla_core.experiments.outcome import Variant, measure_seed
from tests.dualvla_core.report.results.conftest import MakePolicy, make_policy

__all__ = ["make_policy"]

MakeSeed = Callable[..., Path]


class Words:
    """A tokenizer to count by hand."""

    def encode(self, text: str) -> list[int]:
        return [len(word) for word in text.split()]


@pytest.fixture
def make_seed(make_policy: MakePolicy, tmp_path: Path) -> MakeSeed:
    """A factory ``(seed, **outcomes by variant)`` of measured seeds; a policy has 20 of 40 answers right."""

    def make(seed: int, **outcomes: str) -> Path:
        output = tmp_path / f"seed {seed}"
        output.mkdir()
        variants = []
        for number, (name, drawn) in enumerate(outcomes.items()):
            policy = make_policy(name, "dualvla", {"reach": drawn}, right={"colour": (20, 40)})
            variants.append(Variant(policy, Words(), fine_tuning=10 * number))
        measure_seed("degeneration", seed, variants, output)
        for variant in variants:
            shutil.rmtree(variant.policy.checkpoint.parent)  # the next seed's is to lie there
        return output

    return make
