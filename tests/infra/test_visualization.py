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
    pytest.importorskip("rerun", reason="the extra `view` is not installed")
    recording = pytest.importorskip("rerun.recording")
    path = tmp_path / "a.rrd"
    visualization.write_recording(timeline, path)
    loaded = recording.load_recording(path)
    assert loaded.recording_id() == "0123abcd"
    paths = {column.entity_path for column in loaded.schema().component_columns()}
    assert {"/cameras/front", "/scene/score", "/decision/keep", "/reasoning/kept", "/instruction"} <= paths


def test_without_rerun_the_extra_is_named(timeline: Timeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visualization, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match=r"pip install dualvla\[view\]"):
        visualization.write_recording(timeline, tmp_path / "a.rrd")
