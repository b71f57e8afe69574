from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core.errors import ArtifactError, ConfigError
from dualvla_core.events import EventsConfig, detect_event_boundaries
from dualvla_core.events.config import (
    CalibrationConfig,
    DDMNetConfig,
    DetectorTrainingConfig,
    EventsTrainingConfig,
    MotionNetConfig,
    Span,
    TemporalNetConfig,
)
from dualvla_core.events.labels import part_of, read_labels
from dualvla_core.events.learning import (
    calibrate_event_detector,
    compare_event_detectors,
    train_event_detector,
)
from dualvla_core.events.stage import read_scores
from dualvla_core.schemas import EVENT_LABELS

EPISODES, LENGTH, FPS = 24, 24, 10.0
SETTINGS = EventsTrainingConfig(
    training=DetectorTrainingConfig(
        steps=40, warmup_steps=4, learning_rate=3e-3, positive=Span(seconds=0.1, fraction=1), without_tasks=("b",)
    ),
    calibration=CalibrationConfig(tolerance_frames=2, calibration_fraction=0.3, test_fraction=0.3),
    held_out_tasks=("b",),
)


@pytest.fixture
def labelled(make_segment: Callable[..., Path], tmp_path: Path) -> tuple[Path, Path]:
    """A segment of squares that wait and then move, and the labels of when they start; every third is of task b."""
    starts = [6 + number % 10 for number in range(EPISODES)]
    times = np.arange(LENGTH)
    episodes = [
        {"trajectory": np.outer((times - start).clip(0) / LENGTH * 2, [1, 0, 0, 0, 0, 0]), "name": f"episode{number}"}
        for number, start in enumerate(starts)
    ]
    rows = [
        {
            "episode": f"episode{number}",
            "task": "ab"[number % 3 == 1],
            "initial_condition": f"episode{number}",
            "length": LENGTH,
            "fps": FPS,
            "boundaries": [start],
        }
        for number, start in enumerate(starts)
    ]
    labels = tmp_path / "labels"
    labels.mkdir()
    pq.write_table(pa.Table.from_pylist(rows, schema=EVENT_LABELS), labels / "labels.parquet")
    return make_segment(episodes), labels


def _folder(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    return parent / name


def test_from_labels_to_a_comparison(labelled: tuple[Path, Path], small_ddm_net: DDMNetConfig, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    segment, labels = labelled
    network = TemporalNetConfig(width=8, dilations=(1, 2), steps=60, learning_rate=0.02)
    small = MotionNetConfig(odometry=network, boundaries=network, members=2)
    params = EventsConfig(detector="ddm_net", ddm_net=small_ddm_net, motion_net=small)
    calls: list[tuple[int, int]] = []
    detector = _folder(tmp_path, "detector")
    summary = train_event_detector(
        params, SETTINGS, [segment], labels, detector, progress=lambda done, total: calls.append((done, total))
    )
    of_task = [each.episode for each in read_labels(labels) if each.task == "a"]
    wanted = [episode for episode in of_task if part_of(SETTINGS.calibration, episode) == "train"]
    assert summary["episodes"] == len(wanted)
    assert calls[-1] == (len(wanted) + 40, len(wanted) + 40)
    by_motion = _folder(tmp_path, "by motion")
    moved = train_event_detector(
        params.model_copy(update={"detector": "motion_net"}), SETTINGS, [segment], labels, by_motion
    )
    assert (moved["episodes"], moved["frames"]) == (len(wanted), len(wanted) * LENGTH)
    assert {path.name for path in by_motion.iterdir()} == {"detector.json", "detector.safetensors"}

    scores, calibrations = {}, {}
    for name, trained in (("ddm_net", detector), ("motion_net", by_motion), ("optical_flow", None)):
        own = params.model_copy(update={"detector": name})
        scores[name] = _folder(tmp_path, f"scores {name}")
        detect_event_boundaries(own, segment, scores[name], trained)
        calibrations[name] = _folder(tmp_path, f"calibration {name}")
        calibrate_event_detector(SETTINGS.calibration, own, ("b",), labels, [scores[name]], calibrations[name])
    output = _folder(tmp_path, "comparison")
    compared = compare_event_detectors(
        SETTINGS, small, labels, {name: [folder] for name, folder in scores.items()}, calibrations, [segment], output
    )
    written = json.loads((output / "comparison.json").read_text())
    found = {(row["detector"], row["group"], row["tolerance"]): row for row in written["comparisons"]}
    row = found["ddm_net", "held-out tasks", 3]
    assert compared["ddm_net, held-out tasks, ±3"] == pytest.approx(row["f1"], abs=1e-4)
    assert ("told_phase_times", "held-out tasks", 1) in found
    assert ("told_phase_times", "held-out episodes", 1) not in found
    assert found["ddm_net", "held-out episodes", 3]["f1"] > found["random", "held-out episodes", 3]["f1"]
    assert {row["detector"] for row in written["margins"]} == {"ddm_net", "motion_net", "optical_flow"}
    arms = {row["other"] for row in written["margins"] if row["other"].startswith("arm")}
    assert arms == {"arm_peaks", "arm_learned"}
    assert found["arm_peaks", "held-out tasks", 3]["f1"] > 0.9  # the squares start with a jerk


def test_the_same_labels_give_the_same_detector(
    labelled: tuple[Path, Path], small_ddm_net: DDMNetConfig, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    segment, labels = labelled
    short = SETTINGS.model_copy(update={"training": SETTINGS.training.model_copy(update={"steps": 2})})
    outputs = [_folder(tmp_path, name) for name in ("one", "two")]
    for output in outputs:
        train_event_detector(EventsConfig(ddm_net=small_ddm_net), short, [segment], labels, output)
    first, second = ((output / "detector.safetensors").read_bytes() for output in outputs)
    assert first == second


def test_a_labelled_episode_that_is_nowhere_is_named(
    labelled: tuple[Path, Path], small_ddm_net: DDMNetConfig, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    with pytest.raises(ArtifactError, match="No segment holds the labelled episode"):
        train_event_detector(EventsConfig(ddm_net=small_ddm_net), SETTINGS, [], labelled[1], tmp_path)


def test_a_detector_that_is_trained_has_to_be_given(labelled: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with pytest.raises(ConfigError, match=r"'ddm_net' has to be trained.*dualvla events train"):
        detect_event_boundaries(EventsConfig(detector="ddm_net"), labelled[0], tmp_path)


def test_scores_come_back_by_episode(labelled: tuple[Path, Path], tmp_path: Path) -> None:
    detect_event_boundaries(EventsConfig(), labelled[0], tmp_path)
    table = pq.read_table(tmp_path / "boundaries.parquet")
    scores = read_scores([tmp_path])
    assert list(scores) == [f"episode{number}" for number in range(EPISODES)]
    assert scores["episode7"].tolist() == table["score"].to_pylist()[7 * LENGTH : 8 * LENGTH]
    pq.write_table(table.slice(0, 0), tmp_path / "boundaries.parquet")
    assert read_scores([tmp_path]) == {}
