from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core.episodes.annotate import annotate_reasoning
from dualvla_core.episodes.annotation_files import read_annotations
from dualvla_core.episodes.config import AnnotateConfig
from dualvla_core.episodes.segment import Segment
from dualvla_core.errors import ArtifactError, DatasetError
from dualvla_core.schemas import ANNOTATED, ANNOTATIONS, SCAN, UNUSED_ANNOTATIONS, check_schema

MOTIONS = AnnotateConfig(motions=True)
VLA_IT = {
    "a/out.npy": {
        "7": {
            "features": {"move_primitive": ["move up", "", "stop"]},
            "alt_instruction": {
                "Caption": "A table.",
                "CR": [{"question": "Put it there.", "answer": "I put it there."}],
                "CC": [{"question": "Then?", "answer": "Then this."}],
                "QA": [{"question": "What is there?", "answer": "A cup."}],
            },
        }
    }
}
ECOT = {
    "a/out.npy": {
        "8": {
            "features": {"move_primitive": ["said below already"]},
            "reasoning": {
                "10": {"task": "stack"},
                "2": {"plan": "reach, lift", "subtask": "reach", "subtask_reason": "far",
                      "move": "left", "move_reason": "it is left"},
            },
        }
    }
}  # fmt: skip


def scan(folder: Path, episodes: dict[str, tuple[str, str, int]]) -> Path:
    """A scan of episodes: digest to source file, source id and length."""
    folder.mkdir()
    rows = [
        {"episode": name, "episode_index": i, "length": length, "fps": 10.0, "embodiment": "x", "task": "",
         "instruction": "", "initial_condition": "", "cameras": [], "source_bytes": 0, "files_digest": "",
         "source_file": file, "source_id": key}
        for i, (name, (file, key, length)) in enumerate(episodes.items())
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows, SCAN), folder / "scan.parquet")
    return folder


def annotations(tmp_path: Path, content: Any, first_frame: int = 0, **lengths: int) -> tuple[list[Any], list[Any]]:
    file = tmp_path / "instruction.json"
    file.write_text(json.dumps(content))
    episodes = {f"e{key}": ("a/out.npy", key, lengths.get(f"e{key}", 12)) for key in ("7", "8")}
    output = tmp_path / "annotations"
    output.mkdir()
    params = AnnotateConfig(first_frame=first_frame)
    read_annotations(params, [file], scan(tmp_path / "scan", episodes), output)
    found, unused = (pq.read_table(output / f"{name}.parquet") for name in ("annotations", "unused"))
    check_schema(found.schema, ANNOTATIONS, "annotations")
    check_schema(unused.schema, UNUSED_ANNOTATIONS, "unused")
    return found.to_pylist(), unused.to_pylist()


def test_vla_it(tmp_path: Path) -> None:
    rows, unused = annotations(tmp_path, VLA_IT)
    assert unused == []
    assert [(r["frame_index"], r["style"], r["question"], r["content"]) for r in rows] == [
        (None, "caption", None, "A table."),
        (None, "qa", "What is there?", "A cup."),
        (None, "command_rewriting", "Put it there.", "I put it there."),
        (None, "context_creation", "Then?", "Then this."),
        (0, "motion", None, "move up"),
        (2, "motion", None, "stop"),
    ]
    assert {row["episode"] for row in rows} == {"e7"}


def test_the_raw_frame_is_stored_where_the_annotator_dropped_the_first(tmp_path: Path) -> None:
    rows, _ = annotations(tmp_path, VLA_IT, first_frame=1, e7=4)
    assert [row["frame_index"] for row in rows if row["style"] == "motion"] == [1, 3]


def test_ecot(tmp_path: Path) -> None:
    rows, _ = annotations(tmp_path, ECOT)
    assert [(row["frame_index"], row["style"], row["content"]) for row in rows] == [
        (2, "plan", "reach, lift"),
        (2, "subtask_reason", "far"),
        (2, "subtask", "reach"),
        (2, "motion_reason", "it is left"),
        (2, "motion", "left"),
        (10, "task", "stack"),
    ]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (
            {"features": {"move_primitive": ["up"] * 13}},
            "speaks of frame 12, counted from 0, but the episode has 12 frames",
        ),
        ({"other": 1}, "none of alt_instruction, features and reasoning"),
        ([], "none of alt_instruction"),
        ({"alt_instruction": {"QA": [{"question": "x"}]}}, r"cannot be read \(KeyError: 'answer'\)"),
        ({"reasoning": {"first": {}}}, r"cannot be read \(ValueError"),
    ],
)
def test_entries_that_do_not_fit_are_listed(entry: Any, reason: str, tmp_path: Path) -> None:
    rows, unused = annotations(tmp_path, {"a/out.npy": {"7": entry, "9": {"features": {}}}})
    assert rows == []
    assert [row["source_id"] for row in unused] == ["7", "9"]
    assert re.search(reason, unused[0]["reason"])
    assert unused[1]["reason"] == "The dataset has no such episode."


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"There is no annotation file .*absent.json"):
        read_annotations(AnnotateConfig(), [tmp_path / "absent.json"], scan(tmp_path / "scan", {}), tmp_path)
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(DatasetError, match=r"list.json is not JSON of the form"):
        read_annotations(AnnotateConfig(), [tmp_path / "list.json"], tmp_path / "scan", tmp_path)


def moving(length: int = 20, **more: Any) -> dict[str, Any]:
    trajectory = np.zeros((length, 6))
    trajectory[:, 0] = np.arange(length) * 0.02
    return {"trajectory": trajectory, **more}


def run(
    tmp_path: Path, segment: Path, annotated: Path | None, params: AnnotateConfig
) -> tuple[dict[str, Any], Segment]:
    output = tmp_path / "reasoning"
    output.mkdir()
    summary = annotate_reasoning(params, segment, annotated, output)
    check_schema(pq.read_table(output / "reasoning.parquet").schema, ANNOTATED, "reasoning")
    return summary, Segment(segment, output)


def test_only_demonstrations_without_reasoning_get_motions(make_segment: Callable[..., Path], tmp_path: Path) -> None:
    own = ["push"] + [None] * 19
    segment = make_segment([moving(), moving(reasoning=own)])
    before = Segment(segment)
    summary, after = run(tmp_path, segment, None, MOTIONS)
    assert summary == {"episodes": 2, "annotated": 0, "derived": 1}
    first = after.signals(0).column("reasoning").to_pylist()
    assert first[0] == [{"style": "motion", "content": "Move forward.", "question": None}]
    assert first[-1] == [{"style": "motion", "content": "Hold still.", "question": None}]
    assert after.signals(1).column("reasoning").equals(before.signals(1).column("reasoning"))
    assert after.signals(0).drop_columns(["reasoning"]).equals(before.signals(0).drop_columns(["reasoning"]))


def test_joint_space_and_motions_not_asked_for_change_nothing(
    make_segment: Callable[..., Path], tmp_path: Path
) -> None:
    joints = make_segment([{"trajectory": np.zeros((4, 4))}], space="joints")
    assert run(tmp_path, joints, None, MOTIONS)[0]["derived"] == 0
    (tmp_path / "reasoning").rename(tmp_path / "first")
    poses = make_segment([moving(4)], name="poses")
    summary, after = run(tmp_path, poses, None, AnnotateConfig())
    assert summary["derived"] == 0
    assert after.signals(0).column("reasoning").null_count == 4


def test_annotations_follow_what_the_frame_said_itself(make_segment: Callable[..., Path], tmp_path: Path) -> None:
    segment = make_segment([moving(3, name="e7", reasoning=["own", None, None]), moving(3, name="e8")])
    folder = tmp_path / "annotations"
    annotations(tmp_path, VLA_IT, e7=3, e8=3)
    summary, after = run(tmp_path, segment, folder, MOTIONS)
    assert summary == {"episodes": 2, "annotated": 1, "derived": 1}
    said = after.signals(0).column("reasoning").to_pylist()
    styles = [[piece["style"] for piece in pieces] for pieces in said]
    episode = ["caption", "qa", "command_rewriting", "context_creation"]
    assert styles == [["subtask", *episode, "motion"], episode, [*episode, "motion"]]
    assert said[0][-1]["content"] == "move up"


def test_reasoning_of_another_segment_is_refused(make_segment: Callable[..., Path], tmp_path: Path) -> None:
    first, second = make_segment([moving(4)], name="one"), make_segment([moving(5)], name="two")
    run(tmp_path, first, None, MOTIONS)
    with pytest.raises(ArtifactError, match="not about the frames of this segment"):
        Segment(second, tmp_path / "reasoning")
    with pytest.raises(ArtifactError, match=r"There is no reasoning.parquet"):
        Segment(first, tmp_path)
