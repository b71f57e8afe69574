from __future__ import annotations

from typing import Any, cast

import pytest

from dualvla_core.pipeline_config import PipelineConfig
from tasks.stage import RunContext

train = pytest.importorskip("flows.train")


def test_a_blind_control_stands_back_and_differs_in_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    class Recorder:
        @staticmethod
        def submit(*arguments: Any) -> None:
            asked.append(arguments)

    monkeypatch.setattr(train, "train_specialist", Recorder)
    trainer = train.Trainer(cast("RunContext", None), PipelineConfig(), None, None)
    trainer.specialist()
    trainer.specialist("blind control", blind=True)
    (_, _, training, model, data, statistics, execution), (*_, blind_execution) = asked
    assert asked[1][2] == training
    assert asked[1][3] == model.model_copy(update={"blind": True})
    assert asked[1][4:6] == (data, statistics)
    assert execution.niceness == 0
    assert blind_execution == execution.model_copy(update={"niceness": 19})
