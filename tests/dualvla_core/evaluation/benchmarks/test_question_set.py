from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.benchmarks.config import QuestionSetConfig
from dualvla_core.evaluation.benchmarks.question_set import read_question_set
from dualvla_core.evaluation.benchmarks.scoring import score_predictions
from dualvla_core.evaluation.benchmarks.tables import QUESTIONS, QUESTIONS_FILE, read_rows
from dualvla_core.evaluation.statistics import wilson_interval
from dualvla_core.schemas import MULTIMODAL


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    folder = tmp_path / "shard"
    folder.mkdir()
    jpeg = cv2.imencode(".jpg", np.full((16, 16, 3), 250, np.uint8))[1].tobytes()
    rows = [
        ("1", "Is it open or shut", "Shut.", "state", "held_out"),
        ("2", "Is it shut or open", "Shut.", "state", "held_out"),
        ("3", "Is it one or two", "2", "count", "held_out"),
        ("4", "Is it seen", "seen", "count", "train"),
    ]
    table = pa.Table.from_pylist(
        [dict(zip(MULTIMODAL.names, (name, jpeg, *rest), strict=True)) for name, *rest in rows], MULTIMODAL
    )
    with pa.ipc.new_file(str(folder / "multimodal.arrow"), MULTIMODAL) as writer:
        writer.write_table(table)
    return folder


def test_the_held_out_questions_are_one_more_benchmark(
    shard: Path, predicted: Callable[..., Path], tmp_path: Path
) -> None:
    assert read_question_set(shard, "held_out", tmp_path) == {"questions": 3, "images": 1}
    answers = predicted({"1": "shut", "2": "open", "3": "two"})
    summary = score_predictions(QuestionSetConfig().scoring(), tmp_path, answers, tmp_path)
    low, high = wilson_interval(2, 3)
    assert summary == {
        "benchmark": "questions",
        "questions": 3,
        "missing": 0,
        "unparsed": 0,
        "complete": "yes",
        "accuracy": pytest.approx(2 / 3),
        "accuracy_low": low,
        "accuracy_high": high,
        "category_mean": pytest.approx(0.75),
        "state.accuracy": 0.5,
        "count.accuracy": 1.0,
    }


def test_the_other_split_can_be_asked(shard: Path, tmp_path: Path) -> None:
    read_question_set(shard, "train", tmp_path)
    assert [row["index"] for row in read_rows(tmp_path / QUESTIONS_FILE, QUESTIONS)] == ["4"]


def test_a_shard_without_questions_is_refused(shard: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="holds no other question"):
        read_question_set(shard, "other", tmp_path)
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_question_set(tmp_path, "train", tmp_path)
