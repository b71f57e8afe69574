from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from dualvla_core.errors import DependencyError
from dualvla_core.pruning.timeline import Timeline, Utterance
from infra import visualization


@pytest.fixture
def timeline() -> Timeline:
    image = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    return Timeline(
        episode="0123abcd",
        instruction="push the block",
        times=np.array([0.0, 0.5, 1.0]),
        images={"front": [image] * 3},
        signals={"scene/score": np.array([0.0, 0.75, np.nan]), "decision/keep": np.array([0.0, 1, 0])},
        texts={"reasoning/kept": [Utterance(1, "subtask: push"), Utterance(2, "")]},
    )


def test_the_recording_holds_every_signal_at_its_time(timeline: Timeline, tmp_path: Path) -> None:
    reader = pytest.importorskip("rerun.chunk", reason="the extra `view` is not installed").RrdReader
    path = tmp_path / "a.rrd"
    visualization.write_recording(timeline, path)
    opened = reader(path)
    assert [entry.recording_id for entry in opened.recordings()] == ["0123abcd"]
    assert len(opened.blueprints()) == 1
    rows: dict[str, int] = {}
    for chunk in opened.stream():
        rows[chunk.entity_path] = max(chunk.num_rows, rows.get(chunk.entity_path, 0))
    expected = {"/cameras/front": 3, "/scene/score": 3, "/decision/keep": 3, "/reasoning/kept": 2, "/instruction": 1}
    assert expected.items() <= rows.items()


def test_without_rerun_the_extra_is_named(timeline: Timeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visualization, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match=r"pip install dualvla\[view\]"):
        visualization.write_recording(timeline, tmp_path / "a.rrd")
