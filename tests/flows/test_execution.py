"""Flows with many pieces give them to the configured runner, which bounds how many are worked on at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dualvla_core.pipeline_config import ExecutionConfig, PipelineConfig
from flows import curate, events, export, judge, recorded, train
from tasks.stage import RunContext


class ReachedError(Exception):
    """The flow came to its pieces."""


@pytest.mark.parametrize(
    ("flow", "module", "pieces", "arguments"),
    [
        (curate.curate, curate, "curate_all", ()),
        (train.train, train, "train_all", ()),
        (export.export, export, "curate_all", ()),
        (events.train_events, events, "labelled_demonstrations", ()),
        (events.compare_events, events, "labelled_demonstrations", ()),
        (judge.score, judge, "open_artifacts", ((),)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_pieces_go_to_the_configured_runner(
    flow: Any, module: Any, pieces: str, arguments: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: list[ExecutionConfig] = []

    @contextmanager
    def executing_on(execution: ExecutionConfig) -> Iterator[None]:
        given.append(execution)
        yield
        given.clear()

    def reached(*_arguments: object) -> None:
        assert given == [config.execution]
        raise ReachedError

    config = PipelineConfig(execution=ExecutionConfig(workers=1))
    run = RunContext(store_uri=str(tmp_path / "store"), s3_endpoint=None, cache=str(tmp_path / "cache"))
    monkeypatch.setattr(recorded, "executing_on", executing_on)
    monkeypatch.setattr(module, pieces, reached)
    with pytest.raises(ReachedError):
        flow.fn(config, run, *arguments)
