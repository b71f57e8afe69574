from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core.errors import ConfigError, DatasetError
from dualvla_core.events.config import CalibrationConfig
from dualvla_core.events.labels import (
    LabelledEpisode,
    by_task,
    choose,
    label_boundaries,
    part_of,
    read_json_labels,
    read_labels,
)
from dualvla_core.schemas import COLLECTION

MakeCollection = Callable[..., Path]


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """Three episodes: number 4 of task a, number 5 of task b, number 6 of task b."""
    rows = [
        {
            "episode": f"digest{number}",
            "episode_index": number,
            "segment": "s",
            "position": 0,
            "split": "train",
            "task": task,
            "instruction": "",
            "initial_condition": f"{task}/{number}",
            "length": 50,
            "fps": 10.0,
        }
        for number, task in ((4, "a"), (5, "b"), (6, "b"))
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=COLLECTION), tmp_path / "collection.parquet")
    return tmp_path


def _json(folder: Path, content: Any) -> Path:
    path = folder / "labels.json"
    path.write_text(json.dumps(content))
    return path


def test_simulated_phases_label_every_episode(collection: Path) -> None:
    phases = pa.table({"episode_index": [4, 4, 6], "frame_index": [30, 12, 7], "phase": ["hold", "align", "hold"]})
    pq.write_table(phases, collection / "phases.parquet")
    summary = label_boundaries(collection, collection / "phases.parquet", collection)
    assert summary == {"episodes": 3, "boundaries": 3}
    assert read_labels(collection) == [
        LabelledEpisode("digest4", "a/4", "a", 50, 10.0, (12, 30)),
        LabelledEpisode("digest5", "b/5", "b", 50, 10.0, ()),
        LabelledEpisode("digest6", "b/6", "b", 50, 10.0, (7,)),
    ]


def test_labels_by_hand_name_episodes_in_three_ways(collection: Path) -> None:
    path = _json(collection, {"unit": "frames", "episodes": {"4": [9, 3], "digest5": [], "b/6": [1]}})
    label_boundaries(collection, path, collection)
    assert [each.boundaries for each in read_labels(collection)] == [(3, 9), (), (1,)]


def test_episodes_a_file_does_not_name_are_not_labelled(collection: Path) -> None:
    label_boundaries(collection, _json(collection, {"unit": "seconds", "episodes": {"5": [0.52]}}), collection)
    assert read_labels(collection) == [LabelledEpisode("digest5", "b/5", "b", 50, 10.0, (5,))]


def test_the_rater_who_agrees_best_counts(collection: Path) -> None:
    annotation = {"f1_consis": [0.4, 0.9, 0.9], "substages_timestamps": [[1.0], [2.0, 3.0], [4.0]]}
    label_boundaries(collection, _json(collection, {"a/4": annotation}), collection)
    assert read_labels(collection)[0].boundaries == (20, 30)


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"episodes": {"0": [1]}},
        {"unit": "minutes", "episodes": {}},
        {"unit": "frames", "episodes": {"0": [float("nan")]}},
        {"video": {}},
        {"video": [1]},
    ],
)
def test_other_files_are_refused(content: Any, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no file of event boundaries"):
        read_json_labels(_json(tmp_path, content))


def test_a_table_of_something_else_is_refused(collection: Path) -> None:
    with pytest.raises(DatasetError, match="no table of a simulator's phases"):
        label_boundaries(collection, collection / "collection.parquet", collection)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "exploded",)

    path = tmp_path / "annotations.pkl"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DatasetError, match=r"pickled.*convert it to JSON"):
        read_json_labels(path)
    assert not (tmp_path / "exploded").exists()


def test_a_label_outside_its_episode_is_named(collection: Path) -> None:
    path = _json(collection, {"unit": "frames", "episodes": {"4": [50]}})
    with pytest.raises(DatasetError, match="frame 50 of episode 4, which has 50 frames"):
        label_boundaries(collection, path, collection)


def test_labels_of_other_episodes_are_told(collection: Path) -> None:
    with pytest.raises(DatasetError, match="None of the 3 episodes is labelled"):
        label_boundaries(collection, _json(collection, {"unit": "frames", "episodes": {"17": [1]}}), collection)


def _many(count: int) -> list[LabelledEpisode]:
    return [LabelledEpisode(f"{number:x}", f"{number:x}", "ab"[number % 2], 50, 10.0, (5,)) for number in range(count)]


def test_parts_are_disjoint_and_have_their_share() -> None:
    params = CalibrationConfig(calibration_fraction=0.3, test_fraction=0.1)
    parts = [part_of(params, each.episode) for each in _many(2000)]
    assert parts.count("test") == pytest.approx(200, abs=45)
    assert parts.count("calibrate") == pytest.approx(600, abs=70)
    more = CalibrationConfig(calibration_fraction=0.3, test_fraction=0.2)
    was_test = [each.episode for each, part in zip(_many(2000), parts, strict=True) if part == "test"]
    assert all(part_of(more, episode) == "test" for episode in was_test)


def test_episodes_of_a_part() -> None:
    chosen = choose(CalibrationConfig(), _many(100), "calibrate")
    assert {part_of(CalibrationConfig(), each.initial_condition) for each in chosen} == {"calibrate"}
    with pytest.raises(ConfigError, match="None of the 1 labelled"):
        choose(CalibrationConfig(test_fraction=0.0001, calibration_fraction=0.0001), _many(1), "test")


def test_held_out_tasks_are_set_apart() -> None:
    others, held = by_task(_many(10), ["b"])
    assert ({each.task for each in others}, {each.task for each in held}) == ({"a"}, {"b"})
    assert by_task(_many(10), []) == (_many(10), [])
    with pytest.raises(ConfigError, match=r"task 'c'.*\['a', 'b'\]"):
        by_task(_many(10), ["c"])
