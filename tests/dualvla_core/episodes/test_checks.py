from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dualvla_core.episodes.checks import Check, Diagnosis, diagnose
from dualvla_core.episodes.examination import examine
from dualvla_core.episodes.reader import open_dataset
from tests.dualvla_core.episodes.rlds_files import episode, write_rlds

LENGTH = 12


def smooth(length: int = LENGTH, phase: float = 0.0) -> np.ndarray:
    """``[T, 7]``: a hand that moves 1 cm a frame along x and closes; every number differs."""
    state = np.zeros((length, 7), np.float32)
    state[:, 0] = 0.01 * np.arange(length) + phase
    state[:, 1:6] = 0.1 * np.sin(np.arange(length)[:, None] / 5 + np.arange(5) + phase)
    state[:, 6] = np.linspace(1, 0, length)
    return state


def lists(values: np.ndarray) -> pa.Array:
    return pa.array(list(values))


@pytest.fixture
def dataset(write_dataset: Callable[..., Path], demo: Callable[..., Any]) -> Callable[..., Diagnosis]:
    """The diagnosis of a dataset of four sound episodes and one that is changed."""

    def make(state: np.ndarray | None = None, columns: dict[str, Any] | None = None, **more: Any) -> Diagnosis:
        demos = []
        for seed in range(5):
            values = smooth(phase=seed / 10) if seed < 4 or state is None else state
            extra = {"observation.state": lists(values), "action": lists(values)}
            if seed == 4:
                extra |= columns or {}
            demos.append(demo(length=len(values), seed=seed, columns=extra, **(more if seed == 4 else {})))
        return diagnose(write_dataset(demos))

    return make


def check(diagnosis: Diagnosis, name: str) -> Check:
    return next(each for each in diagnosis.checks if each.name == name)


def test_a_sound_dataset_has_nothing_to_say(dataset: Callable[..., Diagnosis]) -> None:
    found = dataset()
    assert {each.status for each in found.checks} == {"ok"}, [each for each in found.checks if each.status != "ok"]
    assert found.is_sound
    assert [each.episode_index for each in found.qualities] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("column", "values", "name", "status"),
    [
        ("action", np.full((LENGTH, 7), np.nan, np.float32), "values", "error"),
        ("action", np.full((LENGTH, 7), np.inf, np.float32), "values", "error"),
        ("action", np.ones((LENGTH, 7), np.float32), "constant actions", "warning"),
        (
            "action",
            np.where(np.arange(LENGTH)[:, None] == 6, 9, smooth()).astype(np.float32),
            "jumping actions",
            "warning",
        ),
        ("observation.state", smooth() * [1, 1, 1, 300, 300, 300, 1], "angles", "warning"),
        ("observation.state", smooth() * [1000, 1, 1, 1, 1, 1, 1], "positions", "warning"),
        ("observation.state", smooth() * [1, 1, 1, 1, 1, 1, 80], "gripper range", "warning"),
        ("observation.state", np.ones((LENGTH, 7), np.float32), "static", "warning"),
        ("timestamp", np.zeros(LENGTH), "time", "error"),
        ("timestamp", np.arange(LENGTH) / 11, "fps", "warning"),
        ("frame_index", np.arange(LENGTH) * 2, "counts", "error"),
    ],
)
def test_each_check_names_the_episode(
    column: str, values: np.ndarray, name: str, status: str, dataset: Callable[..., Diagnosis]
) -> None:
    stored = lists(values.astype(np.float32)) if values.ndim == 2 else pa.array(values)
    found = dataset(columns={column: stored})
    assert (check(found, name).status, check(found, name).episodes) == (status, (4,))
    assert found.is_sound is (status == "warning")


def test_a_video_that_is_too_short_and_one_that_is_cut(dataset: Callable[..., Diagnosis]) -> None:
    assert check(dataset(video_frames=3), "alignment").episodes == (4,)


def test_a_truncated_video(write_dataset: Callable[..., Path]) -> None:
    folder = write_dataset(2)
    video = next(folder.rglob("episode_000001.mp4"))
    video.write_bytes(video.read_bytes()[:-200])
    found = check(diagnose(folder), "video")
    assert (found.status, found.episodes) == ("error", (1,))
    assert "fetch it again" in found.finding


def test_missing_and_placeholder_instructions(write_dataset: Callable[..., Path]) -> None:
    folder = write_dataset(4, tasks=("valid", "open the drawer"))
    found = check(diagnose(folder), "instructions")
    assert (found.status, found.episodes) == ("warning", (0, 2))


def test_duplicates_short_episodes_and_frozen_cameras(tmp_path: Path) -> None:
    same = episode(2, seed=1)
    still = dict(episode(5, seed=2))
    still["steps/observation/image_0"] = still["steps/observation/image_0"][:1] * 5
    found = diagnose(write_rlds(tmp_path, {"train": [same, still], "val": [same]}))
    assert check(found, "duplicates").episodes == (2,)
    assert check(found, "length").episodes == (0, 2)
    assert check(found, "cameras").episodes == (1,)
    assert "observation.image_0" in check(found, "cameras").finding


def test_hands_that_begin_closed(write_dataset: Callable[..., Path], demo: Callable[..., Any]) -> None:
    state = smooth()
    state[:, 6] = np.linspace(0, 1, LENGTH)
    demos = [demo(length=LENGTH, seed=i, columns={"observation.state": lists(state + i / 10)}) for i in range(3)]
    found = check(diagnose(write_dataset(demos)), "gripper polarity")
    assert (found.status, found.episodes) == ("warning", (0, 1, 2))


def test_what_cannot_be_opened_is_a_finding(tmp_path: Path) -> None:
    found = diagnose(tmp_path)
    assert not found.is_sound
    assert found.checks[0].finding.startswith("No known layout was recognised")


def test_declarations_that_do_not_hold(write_dataset: Callable[..., Path]) -> None:
    found = check(diagnose(write_dataset(2, info={"total_episodes": 9})), "declared")
    assert (found.status, found.finding) == (
        "warning", "info.json counts 9 episodes, the metadata lists 2; these are read.",
    )  # fmt: skip


def test_quality_by_hand(write_dataset: Callable[..., Path], demo: Callable[..., Any]) -> None:
    """x goes 0, 0, 0, 1, 4, 9 cm at 10 frames a second: path 9 cm; third differences 1, 1, 0 cm."""
    state = np.zeros((6, 7), np.float32)
    state[:, 0] = np.array([0, 0, 0, 1, 4, 9]) / 100
    folder = write_dataset([demo(length=6, columns={"observation.state": lists(state)})])
    found = examine(open_dataset(folder), 0).quality
    assert (found.frames, found.seconds) == (6, pytest.approx(0.5))
    assert found.path == pytest.approx(0.09)
    assert found.jerk == pytest.approx(np.sqrt((0.01**2 + 0.01**2) / 3) * 1000, rel=1e-5)
    assert found.static_fraction == pytest.approx(2 / 5)


def test_quality_of_one_frame(write_dataset: Callable[..., Path], demo: Callable[..., Any]) -> None:
    found = examine(open_dataset(write_dataset([demo(length=1)])), 0).quality
    assert (found.path, found.static_fraction) == (0, 1)
    assert np.isnan(found.jerk)
