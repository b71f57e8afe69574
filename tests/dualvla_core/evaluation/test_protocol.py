from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.config import RolloutConfig, TrialConfig
from dualvla_core.evaluation.protocol import (
    EvaluationProtocol,
    ProtocolMismatchError,
    SuccessRate,
    compare,
    read_protocol,
    success_rates,
    summarise,
)
from dualvla_core.evaluation.statistics import wilson_interval

MakeProtocol = Callable[..., EvaluationProtocol]


def test_episodes_are_planned_task_after_task() -> None:
    config = TrialConfig(tasks=("reach", "door-open"), first_seed=7, episodes_per_task=2)
    assert config.episodes == [("reach", 7), ("reach", 8), ("door-open", 7), ("door-open", 8)]


def test_the_default_seeds_are_held_out_and_enough() -> None:
    config = RolloutConfig()
    assert config.seeds == range(50000, 50020)
    assert len(config.episodes) == 120


@pytest.mark.parametrize("wrong", [{"tasks": ()}, {"tasks": ("juggle",)}, {"execute": 0}, {"success_mode": "ever"}])
def test_trials_that_cannot_be_played_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TrialConfig.model_validate(wrong)


def test_rates_are_counted_per_task_and_in_all(protocol: MakeProtocol) -> None:
    found = protocol(tasks=("reach", "door-open"), episodes_per_task=4)
    rates = success_rates(found, [True, True, True, False, False, False, False, True])
    assert [(rate.task, rate.successes, rate.episodes) for rate in rates] == [
        (None, 4, 8),
        ("reach", 3, 4),
        ("door-open", 1, 4),
    ]
    assert all(rate.protocol == found for rate in rates)
    summary = summarise(rates)
    assert summary["episodes"] == 8
    assert summary["success_rate"] == 0.5
    assert summary["reach.success_rate"] == 0.75
    assert (summary["reach.success_low"], summary["reach.success_high"]) == wilson_interval(3, 4)


def test_there_is_no_rate_of_a_part(protocol: MakeProtocol) -> None:
    with pytest.raises(AssertionError, match="all planned episodes"):
        success_rates(protocol(tasks=("reach",), episodes_per_task=4), [True] * 3)


def test_rates_under_one_protocol_are_compared(protocol: MakeProtocol) -> None:
    found = compare(SuccessRate(protocol(), 56, 70), SuccessRate(protocol(), 48, 80))
    assert found.value == pytest.approx(0.2)
    assert found.interval == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize(
    ("difference", "named"),
    [
        ({"max_steps": 100}, "max_steps is 200 in the first and 100 in the second"),
        ({"execute": 12}, "execute is 6 in the first and 12"),
        ({"first_seed": 1000}, "first_seed is 50000"),
        ({"simulator": "metaworld 2"}, "simulator is 'metaworld 1'"),
    ],
)
def test_another_protocol_is_refused_by_its_name(
    protocol: MakeProtocol, difference: dict[str, object], named: str
) -> None:
    with pytest.raises(ProtocolMismatchError, match=named):
        compare(SuccessRate(protocol(), 1, 2), SuccessRate(protocol(**difference), 1, 2))


def test_another_task_is_refused(protocol: MakeProtocol) -> None:
    with pytest.raises(ProtocolMismatchError, match="task is 'reach' in the first and None in the second"):
        compare(SuccessRate(protocol(), 1, 2, "reach"), SuccessRate(protocol(), 1, 2))


def test_a_protocol_is_read_as_it_was_written(protocol: MakeProtocol, tmp_path: Path) -> None:
    written = protocol(tasks=("reach",), max_steps=50)
    written.write(tmp_path)
    assert read_protocol(tmp_path) == written


def test_a_folder_without_a_readable_protocol_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is missing"):
        read_protocol(tmp_path)
    (tmp_path / "protocol.json").write_text('{"tasks": ["juggle"]}')
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_protocol(tmp_path)
