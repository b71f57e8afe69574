from __future__ import annotations

import base64
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core.errors import DatasetError
from dualvla_core.params import Summary
from dualvla_core.schemas import MULTIMODAL
from dualvla_core.shards import MultimodalConfig, build_multimodal_shard
from dualvla_core.shards.multimodal import SKIPPED_SAMPLES

MakeImages = Callable[[np.ndarray], list[np.ndarray]]
Digest = Callable[[pa.Table], str]

# Digest of the output of stage version 2 (images aside); when it changes, raise the stage's version in tasks/ and
# record it anew.
GOLDEN = {"version": 2, "digest": "f53cd693c1c25281"}


def _item(**changes: Any) -> dict[str, Any]:
    turns = [{"from": "human", "value": "<image>\nWhat is left of the drawer?"}, {"from": "gpt", "value": "A puck."}]
    item = {"id": "a", "image": "images/a.jpg", "split": "train", "category": "relation", "conversations": turns}
    return item | changes


@pytest.fixture
def source(tmp_path: Path, make_images: MakeImages) -> Path:
    folder = tmp_path / "source"
    (folder / "images").mkdir(parents=True)
    image = make_images(np.array([0.3]))[0]
    cv2.imwrite(str(folder / "images" / "a.jpg"), image)
    cv2.imwrite(str(folder / "images" / "b.png"), image)
    (folder / "images" / "broken.jpg").write_bytes(b"\xff\xd8 not an image")
    (folder / "images" / "empty.jpg").touch()
    (folder / "secret.jpg").write_bytes((folder / "images" / "a.jpg").read_bytes())
    return folder


def _build(source: Path, items: Any, **params: Any) -> tuple[pa.Table, list[dict[str, Any]], Summary]:
    (source / "conversations.json").write_text(json.dumps(items))
    output = source.parent / "output"
    output.mkdir()
    summary = build_multimodal_shard(MultimodalConfig(**params), source, output)
    skipped = pq.read_table(output / "skipped.parquet")
    assert skipped.schema.equals(SKIPPED_SAMPLES)
    table = pa.ipc.open_file(str(output / "multimodal.arrow")).read_all()
    assert table.schema.equals(MULTIMODAL)
    return table, skipped.to_pylist(), summary


def test_a_question_becomes_a_row(source: Path) -> None:
    table, skipped, summary = _build(source, [_item()])
    row = table.to_pylist()[0]
    assert row.pop("image") == (source / "images" / "a.jpg").read_bytes()
    assert row == {
        "sample": "a",
        "question": "What is left of the drawer?",
        "answer": "A puck.",
        "category": "relation",
        "split": "train",
    }
    assert skipped == []
    assert summary == {"samples": 1, "questions": 1, "skipped": 0}


def test_an_image_may_be_named_within_its_folder(source: Path) -> None:
    assert _build(source, [_item(image="a.jpg")])[0].num_rows == 1


def test_every_question_of_a_conversation_is_a_row(source: Path) -> None:
    turns = [{"from": who, "value": f"<image>\n{n}"} for n, who in enumerate(("human", "gpt", "user", "assistant"))]
    bare = {"image": "a.jpg", "conversations": turns}
    table, _, summary = _build(source, [_item(conversations=turns), bare])
    assert table["sample"].to_pylist() == ["a", "a#2", "1", "1#2"]
    assert (table["question"].to_pylist(), table["answer"].to_pylist()) == (["0", "2"] * 2, ["1", "3"] * 2)
    assert table["category"].to_pylist()[2:] == ["conversation"] * 2
    assert summary == {"samples": 2, "questions": 4, "skipped": 0}


def test_without_a_split_an_image_is_on_one_side_only(source: Path) -> None:
    image = (source / "images" / "a.jpg").read_bytes()
    for number in range(40):
        (source / "images" / f"{number}.jpg").write_bytes(image)
    items = [{**_item(id=f"{number}-{turn}", image=f"{number}.jpg")} for number in range(40) for turn in range(2)]
    for item in items:
        del item["split"]
    splits = _build(source, items, held_out_fraction=0.5)[0]["split"].to_pylist()
    assert splits[::2] == splits[1::2]
    assert 8 < splits[::2].count("held_out") < 32


def test_images_in_a_tar(source: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "images.tar", "w") as tar:
        tar.add(source / "images" / "a.jpg", "./coco/a.jpg")
    (source / "conversations.json").write_text(
        json.dumps([_item(image="coco/a.jpg"), _item(id="b", image="coco/b.jpg")])
    )
    output = tmp_path / "output"
    output.mkdir()
    file = source / "conversations.json"
    summary = build_multimodal_shard(MultimodalConfig(), file, output, images=tmp_path / "images.tar")
    assert summary == {"samples": 2, "questions": 1, "skipped": 1}
    assert pq.read_table(output / "skipped.parquet")["reason"].to_pylist() == ["the image 'coco/b.jpg' is missing"]
    with tarfile.open(tmp_path / "images.tar.gz", "w:gz") as tar:
        tar.add(source / "images" / "a.jpg", "a.jpg")
    with pytest.raises(DatasetError, match=r"images.tar.gz is no uncompressed tar"):
        build_multimodal_shard(MultimodalConfig(), file, output, images=tmp_path / "images.tar.gz")
    with pytest.raises(DatasetError, match=r"There is no folder or tar of images"):
        build_multimodal_shard(MultimodalConfig(), file, output, images=tmp_path / "nowhere")


def test_other_formats_become_jpeg(source: Path) -> None:
    image = _build(source, [_item(image="images/b.png")], jpeg_quality=90)[0]["image"][0].as_py()
    assert image.startswith(b"\xff\xd8")
    decoded = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    original = cv2.imread(str(source / "images" / "b.png"))
    assert decoded is not None
    assert np.abs(decoded.astype(int) - original).mean() < 4


@pytest.mark.parametrize(
    ("item", "sample", "reason"),
    [
        (_item(image="images/none.jpg"), "a", "the image 'images/none.jpg' is missing"),
        (_item(image="images/broken.jpg"), "a", "the image 'images/broken.jpg' cannot be decoded"),
        (_item(image="images/empty.jpg"), "a", "the image 'images/empty.jpg' cannot be decoded"),
        (_item(image="../secret.jpg"), "a", "the image '../secret.jpg' lies outside images/"),
        (_item(image=None, category=""), "a", "image, category should be text and not empty"),
        (_item(id=[7]), "[7]", "id should be text and not empty"),
        (_item(split="test"), "a", "the split is 'test', expected one of train, held_out"),
        (_item(conversations=[]), "a", "the conversation goes [], expected human and gpt by turns"),
        (_item(conversations="hello"), "a", "the conversation goes [], expected human and gpt by turns"),
        (
            _item(conversations=[{"from": "human", "value": "?"}] * 2),
            "a",
            "the conversation goes ['human', 'human'], expected human and gpt by turns",
        ),
        (
            _item(conversations=[{"from": "human", "value": "<image>\n"}, {"from": "gpt", "value": "Yes."}]),
            "a",
            "a question or an answer is empty",
        ),
        ("text", None, "the sample is a str, expected an object"),
        ({}, None, "the sample has no image"),
    ],
)
def test_a_bad_sample_is_listed_with_its_reason_and_the_others_stay(
    source: Path, item: Any, sample: str | None, reason: str
) -> None:
    table, skipped, summary = _build(source, [_item(id="good"), item, _item(id="better", split="held_out")])
    assert table["sample"].to_pylist() == ["good", "better"]
    assert skipped == [{"position": 1, "sample": sample, "reason": reason}]
    assert summary == {"samples": 3, "questions": 2, "skipped": 1}


def test_a_repeated_id_is_listed(source: Path) -> None:
    table, skipped, _ = _build(source, [_item(), _item(category="other")])
    assert table["category"].to_pylist() == ["relation"]
    assert skipped == [{"position": 1, "sample": "a", "reason": "an earlier sample has the same id"}]


def test_an_id_of_a_skipped_sample_is_free(source: Path) -> None:
    table, skipped, _ = _build(source, [_item(split="?"), _item()])
    assert table.num_rows == len(skipped) == 1


def test_many_samples_are_written_in_batches(source: Path) -> None:
    table, _, _ = _build(source, [_item(id=str(index)) for index in range(300)])
    assert table["sample"].to_pylist() == [str(index) for index in range(300)]
    assert [len(chunk) for chunk in table["sample"].chunks] == [256, 44]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"There is no conversations.json in source"),
        ("{", r"conversations.json is not JSON"),
        ("{}", r"conversations.json holds a dict; expected a list"),
    ],
)
def test_a_file_that_is_no_list_is_refused(source: Path, tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (source / "conversations.json").write_text(content)
    with pytest.raises(DatasetError, match=message):
        build_multimodal_shard(MultimodalConfig(), source, tmp_path)


def test_the_output_is_that_of_this_version(source: Path, table_digest: Digest) -> None:
    table, _, _ = _build(source, [_item(), _item(id="b", image="b.png", split="held_out")])
    assert table_digest(table.drop_columns(["image"])) == GOLDEN["digest"]


def test_a_benchmarks_table_becomes_rows_and_what_cannot_be_used_is_listed(source: Path) -> None:
    encoded = base64.b64encode((source / "images" / "a.jpg").read_bytes()).decode()
    rows = [
        ("7", "What is it?", "a puck", "mug", "A", encoded, "object"),
        ("8", "Which colours?", "", "", "['red', 'scarlet']", "7", ""),  # shows the image of row 7
        ("9", "Where?", "", "", "", encoded, ""),
        ("10", "Who?", "", "", "nobody", base64.b64encode(b"\xff\xd8 not an image").decode() * 5, ""),
        ("11", "How?", "", "", "so", "", ""),
    ]
    header = "index\tquestion\tA\tB\tanswer\timage\tcategory"
    path = source / "questions.tsv"
    path.write_text("\n".join([header, *("\t".join(row) for row in rows)]) + "\n")
    output = source.parent / "output"
    output.mkdir()
    summary = build_multimodal_shard(MultimodalConfig(), path, output)
    first, second = pa.ipc.open_file(str(output / "multimodal.arrow")).read_all().to_pylist()
    assert first["question"].splitlines()[:4] == ["Question: What is it?", "Options:", "A. a puck", "B. mug"]
    assert (first["answer"], first["category"], first["sample"]) == ("A", "object", "7")
    assert (second["question"], second["answer"]) == ("Which colours?", "red")
    assert first["image"] == second["image"] == (source / "images" / "a.jpg").read_bytes()
    assert first["split"] == second["split"]
    reasons = {row["sample"]: row["reason"] for row in pq.read_table(output / "skipped.parquet").to_pylist()}
    assert reasons["9"] == "a question or an answer is empty"
    assert "The image of question 10 in questions.tsv cannot be decoded" in reasons["10"]
    assert reasons["11"] == "the sample has no image"
    assert summary == {"samples": 5, "questions": 2, "skipped": 3}
