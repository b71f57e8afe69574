from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.config import MultimodalEvaluationConfig
from dualvla_core.evaluation.multimodal import evaluate_answers, normalise_answer
from dualvla_core.evaluation.statistics import wilson_interval
from dualvla_core.schemas import MULTIMODAL

RED = np.zeros((16, 16, 3), np.uint8)
RED[..., 0] = 250


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Yes", "yes.", True),
        ("  The red   ball", "red ball!", True),
        ("two", "2", True),
        ("to the left", "To the left", True),
        ("A", "a.", True),
        ("A", "The", False),
        ("left", "right", False),
        ("yes", "yes and no", False),
        ("another", "other", False),
        ("", "no", False),
    ],
)
def test_answers_count_as_the_same_by_their_words(one: str, other: str, same: bool) -> None:
    assert (normalise_answer(one) == normalise_answer(other)) is same


class Parrot:
    """Answers with the last word of the question and checks that it sees a red image."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def answer(self, images: Sequence[npt.NDArray[np.uint8]], questions: Sequence[str]) -> list[str]:
        self.batches.append(len(questions))
        assert all(image[..., 0].mean() > 200 and image[..., 2].mean() < 50 for image in images)
        return [question.split()[-1] for question in questions]


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    jpeg = cv2.imencode(".jpg", RED[..., ::-1])[1].tobytes()
    rows = [
        ("1", "Is it open or shut", "Shut.", "state", "held_out"),
        ("2", "Is it shut or open", "Shut.", "state", "held_out"),
        ("3", "Is it one or two", "2", "count", "held_out"),
        ("4", "Is it seen", "seen", "count", "train"),
    ]
    table = pa.Table.from_pylist(
        [dict(zip(MULTIMODAL.names, (name, jpeg, *rest), strict=True)) for name, *rest in rows], MULTIMODAL
    )
    with pa.ipc.new_file(str(tmp_path / "multimodal.arrow"), MULTIMODAL) as writer:
        writer.write_table(table)
    return tmp_path


def test_answers_are_counted_per_category(shard: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.mkdir()
    told: list[tuple[int, int]] = []
    parrot = Parrot()
    summary = evaluate_answers(
        MultimodalEvaluationConfig(), shard, parrot, output, lambda done, total: told.append((done, total)), 2
    )
    low, high = wilson_interval(2, 3)
    assert summary == {
        "questions": 3,
        "accuracy": pytest.approx(2 / 3),
        "accuracy_low": low,
        "accuracy_high": high,
        "category_mean": pytest.approx(0.75),
        "state.accuracy": 0.5,
        "count.accuracy": 1.0,
    }
    assert parrot.batches == [2, 1]
    assert told == [(2, 3), (3, 3)]
    answers = pq.read_table(output / "answers.parquet").to_pylist()
    assert [(row["sample"], row["answer"], row["correct"]) for row in answers] == [
        ("1", "shut", True),
        ("2", "open", False),
        ("3", "two", True),
    ]
    categories = {row["category"]: row for row in pq.read_table(output / "categories.parquet").to_pylist()}
    assert (categories["state"]["correct"], categories["state"]["questions"]) == (1, 2)
    assert (categories["count"]["low"], categories["count"]["high"]) == wilson_interval(1, 1)


def test_the_other_split_can_be_asked(shard: Path, tmp_path: Path) -> None:
    summary = evaluate_answers(MultimodalEvaluationConfig(split="train"), shard, Parrot(), tmp_path)
    assert (summary["questions"], summary["accuracy"]) == (1, 1.0)


def test_a_shard_without_questions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be read"):
        evaluate_answers(MultimodalEvaluationConfig(), tmp_path, Parrot(), tmp_path)
    with pa.ipc.new_file(str(tmp_path / "multimodal.arrow"), MULTIMODAL):
        pass
    with pytest.raises(ArtifactError, match="holds no held_out question"):
        evaluate_answers(MultimodalEvaluationConfig(), tmp_path, Parrot(), tmp_path)


def test_a_broken_image_is_refused(tmp_path: Path) -> None:
    row = dict(zip(MULTIMODAL.names, ("1", b"torn", "q", "a", "c", "held_out"), strict=True))
    with pa.ipc.new_file(str(tmp_path / "multimodal.arrow"), MULTIMODAL) as writer:
        writer.write_table(pa.Table.from_pylist([row], MULTIMODAL))
    with pytest.raises(ArtifactError, match="cannot be decoded"):
        evaluate_answers(MultimodalEvaluationConfig(), tmp_path, Parrot(), tmp_path)
