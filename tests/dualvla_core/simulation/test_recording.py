from __future__ import annotations

import filecmp
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from dualvla_core.errors import ConfigError
from dualvla_core.params import Summary
from dualvla_core.simulation.config import RecordConfig
from dualvla_core.simulation.recording import record_batch

SOLVED, UNSOLVED = 1003, 1000  # the seeds of the mixed batch


def test_failed_attempts_are_listed_and_left_out(mixed_batch: tuple[Path, Summary]) -> None:
    folder, summary = mixed_batch
    attempts = pq.read_table(folder / "attempts.parquet").to_pylist()
    assert [(row["seed"], row["success"]) for row in attempts] == [(SOLVED, True), (UNSOLVED, False)]
    assert attempts[0]["reason"] is None
    assert attempts[1]["reason"] == "not solved within 40 control steps"
    assert attempts[1]["steps"] == 40
    assert {key: summary[key] for key in ("attempts", "episodes", "questions", "success_rate")} == {
        "attempts": 2,
        "episodes": 1,
        "questions": 5,
        "success_rate": 0.5,
    }
    (episode,) = pq.read_table(folder / "episodes.parquet").to_pylist()
    assert episode["initial_condition"] == f"reach/{SOLVED}"
    assert episode["length"] == summary["frames"]


def test_recording_again_gives_the_same_bytes(
    mixed_batch: tuple[Path, Summary], record: Callable[[list[int]], tuple[Path, Summary]]
) -> None:
    first, again = mixed_batch[0], record([SOLVED, UNSOLVED])[0]
    names = sorted(path.name for path in first.iterdir())
    assert names == sorted(path.name for path in again.iterdir())
    assert filecmp.cmpfiles(first, again, names, shallow=False) == (names, [], [])


def test_a_demonstration_does_not_depend_on_its_batch(
    mixed_batch: tuple[Path, Summary], record: Callable[[list[int]], tuple[Path, Summary]]
) -> None:
    later = record([UNSOLVED, SOLVED])[0]
    for name in ("signals.parquet", "third_person.mp4", "wrist.mp4", "phases.parquet", "questions.parquet"):
        assert (later / name).read_bytes() == (mixed_batch[0] / name).read_bytes()


def test_signals_follow_the_expert_until_shortly_after_success(mixed_batch: tuple[Path, Summary]) -> None:
    folder, summary = mixed_batch
    signals = pq.read_table(folder / "signals.parquet")
    phases = pq.read_table(folder / "phases.parquet").to_pylist()
    states = np.stack(signals["observation.state"].to_numpy())
    actions = np.stack(signals["action"].to_numpy())
    assert len(states) == summary["frames"]
    assert actions.shape == (len(states), 4)
    assert np.abs(actions).max() <= 1
    # an action of frame t moves the hand between t and t + 1, with some lag: over the approach both point the same way
    moved, asked = states[20, :3] - states[0, :3], actions[:20, :3].sum(0)
    assert moved @ asked > 0.95 * np.linalg.norm(moved) * np.linalg.norm(asked)
    hold = next(row["frame_index"] for row in phases if row["phase"] == "hold")
    assert len(states) - hold == 5


def test_videos_show_every_frame(mixed_batch: tuple[Path, Summary]) -> None:
    folder, summary = mixed_batch
    for camera, size in (("third_person", 32), ("wrist", 48)):
        with av.open(str(folder / f"{camera}.mp4")) as container:
            frames = list(container.decode(video=0))
        assert len(frames) == summary["frames"]
        assert (frames[0].width, frames[0].height) == (size, size)


def test_questions_show_the_frame_they_ask_about(mixed_batch: tuple[Path, Summary]) -> None:
    folder, _ = mixed_batch
    with av.open(str(folder / "third_person.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for row in pq.read_table(folder / "questions.parquet").to_pylist():
        image = cv2.imdecode(np.frombuffer(row["image"], np.uint8), cv2.IMREAD_COLOR_RGB)
        assert image is not None
        distances = [np.abs(image.astype(float) - frame).mean() for frame in frames]
        assert distances[row["frame_index"]] < 1.1 * min(distances)
        assert row["question"]
        assert row["answer"]


def test_progress_counts_attempts(simulator: None, tiny: RecordConfig, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    short = tiny.model_copy(update={"max_steps": 2})
    summary = record_batch(short, "reach", [1, 2], tmp_path, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    assert summary["episodes"] == summary["frames"] == 0
    assert not list(tmp_path.glob("*.mp4"))


@pytest.mark.parametrize("seeds", [[], [4, 4]])
def test_seeds_must_differ(tiny: RecordConfig, seeds: list[int], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="seeds that differ"):
        record_batch(tiny, "reach", seeds, tmp_path)


def test_asking_for_more_episodes_leaves_recorded_ones_valid(tiny: RecordConfig) -> None:
    grown = tiny.model_copy(update={"episodes_per_task": 500})
    assert grown.capture == tiny.capture
    assert tiny.model_copy(update={"wrist_image_size": 64}).capture != tiny.capture
    assert list(grown.seeds)[:2] == list(tiny.seeds)[:2] == [1000, 1001]
