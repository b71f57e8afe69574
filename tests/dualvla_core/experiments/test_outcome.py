from __future__ import annotations

from pathlib import Path

import pytest

from dualvla_core.errors import ArtifactError
from dualvla_core.experiments.outcome import Variant, measure_seed, read_seed, read_trials
from tests.dualvla_core.experiments.conftest import MakeSeed, Words
from tests.dualvla_core.report.results.conftest import SAID, MakePolicy


def test_numbers_of_a_seed(make_seed: MakeSeed) -> None:
    found = read_seed(make_seed(3, dualvla="SSSf", raw_5="SfSf"))
    assert (found.seed, list(found.variants)) == (3, ["dualvla", "raw_5"])
    measures = found.variants["dualvla"].measures()
    assert (measures["success"], measures["accuracy"], measures["unseen"]) == (75, 50, None)
    assert found.variants["raw_5"].fine_tuning == 10
    spoken = sum(len(text.split()) for text in SAID if text is not None)
    assert measures["reasoning_tokens"] == spoken  # every episode says the same


def test_trials_are_kept_for_pairing(make_seed: MakeSeed) -> None:
    trials = read_trials(make_seed(0, dualvla="Sf", raw_5="ff"))
    assert sorted(trials) == ["dualvla", "raw_5"]
    assert list(trials["dualvla"].values()) == [1.0, 0.0]
    assert set(trials["dualvla"]) == set(trials["raw_5"])


def test_unseen_tasks(make_policy: MakePolicy, tmp_path: Path) -> None:
    policy = make_policy("dualvla", "dualvla", {"reach": "Sf"})
    elsewhere = make_policy("elsewhere", "dualvla", {"door-open": "SSSf"}).rollouts
    (tmp_path / "output").mkdir()
    measure_seed("teachers", 0, [Variant(policy, Words(), 5, elsewhere)], tmp_path / "output")
    assert read_seed(tmp_path / "output").variants["dualvla"].measures()["unseen"] == 75


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"outcomes\.json .* run the experiment again"):
        read_seed(tmp_path)
