"""Finding an episode in the store, and what the command line tells of it."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from dualvla_core.errors import ConfigError
from dualvla_core.kinematics import KinematicsConfig, compute_kinematics
from dualvla_core.params import Summary
from dualvla_core.pruning import PruningConfig, prune_reasoning
from dualvla_core.schemas import ANNOTATED, BOUNDARIES, COLLECTION
from flows.cli import app
from infra.manifest import ArtifactRef
from tasks.curated_episode import find_episode
from tasks.stage import Job, RunContext, Work, commit_once, open_artifacts, stage
from tests.dualvla_core.conftest import SyntheticEpisode, write_segment

NAMES = ("aa11", "ab22")


def _commit(run: RunContext, name: str, folder: Path, rule: str = "scene_only", **inputs: ArtifactRef) -> ArtifactRef:
    """An artifact of the stage ``name`` that holds the files of ``folder``."""

    def body(job: Job) -> Summary:
        shutil.copytree(folder, job.output, dirs_exist_ok=True)
        return {}

    params = {"rule": rule, "boundary_threshold": 0.5}
    declared = stage(name, version=1)(lambda *_: Work(params, body, inputs))
    return commit_once(declared, run, Work(params, body, inputs))[0].ref


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunContext:
    """A store with one curated segment of two episodes of six frames; boundary at frame 2 of both."""
    home = tmp_path / "home"
    monkeypatch.setenv("DUALVLA_HOME", str(home))
    run = RunContext(store_uri=(home / "store").as_uri(), cache=str(home / "cache"))
    episodes = [
        SyntheticEpisode(np.zeros((6, 6)), reasoning=[f"{name} says {k}" for k in range(6)], name=name)
        for name in NAMES
    ]
    segment = write_segment(tmp_path / "segment", episodes, "pose", ["front"])
    boundaries, kinematics, decisions, collection = (
        tmp_path / name for name in ("boundaries", "kinematics", "decisions", "collection")
    )
    for folder in (boundaries, kinematics, decisions, collection):
        folder.mkdir()
    scores = np.tile(np.array([0, 0, 0.75, 0, 0, 0], np.float32), 2)
    keys = {"episode": np.repeat(NAMES, 6).tolist(), "frame_index": [*range(6)] * 2}
    pq.write_table(pa.table(keys | {"score": scores}, schema=BOUNDARIES), boundaries / "boundaries.parquet")
    compute_kinematics(KinematicsConfig(), segment, kinematics)
    prune_reasoning(PruningConfig(rule="scene_only"), segment, boundaries, kinematics, decisions)
    found = _commit(run, "decode_episodes", segment)
    rows = [
        {"episode": name, "episode_index": 7 + k, "segment": found.key, "position": k, "split": "train", "task": "push"}
        | {"instruction": "push", "initial_condition": name, "length": 6, "fps": 10.0}
        for k, name in enumerate(NAMES)
    ]
    pq.write_table(pa.Table.from_pylist(rows, COLLECTION), collection / "collection.parquet")
    _commit(run, "collect_episodes", collection)
    inputs = {"boundaries": _commit(run, "detect", boundaries), "kinematics": _commit(run, "compute", kinematics)}
    _commit(run, "prune_reasoning", decisions, segment=found, **inputs)
    return run


@pytest.mark.parametrize("name", ["ab22", "ab", "AB", "8"])
def test_an_episode_is_found_by_digest_or_number(run: RunContext, name: str) -> None:
    found = find_episode(run, name)
    assert (found.row["episode"], found.row["position"]) == ("ab22", 1)
    assert (found.folders.decisions / "decisions.parquet").is_file()
    assert (found.folders.segment / "frames.arrow").is_file()


def test_a_number_is_one_of_what_was_pruned_last(run: RunContext, tmp_path: Path) -> None:
    """Here a detector's demonstrations were decoded after that."""
    other = tmp_path / "other"
    other.mkdir()
    row = find_episode(run, "8").row | {"episode": "cc33", "segment": "of a detector"}
    pq.write_table(pa.Table.from_pylist([row], COLLECTION), other / "collection.parquet")
    time.sleep(1.1)  # stages are dated to the second
    _commit(run, "collect_episodes", other, rule="another key")
    assert find_episode(run, "8").row["episode"] == "ab22"
    with pytest.raises(ConfigError, match="Episode cc33 was decoded but not pruned yet"):
        find_episode(run, "cc")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("a", "2 episodes begin with 'a'"),
        ("c", "No curated episode begins with 'c'"),
        ("0", "The newest curation has 2 episodes, and no episode 0"),
    ],
)
def test_what_is_not_found_is_told(run: RunContext, name: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        find_episode(run, name)


def test_nothing_curated_is_told(tmp_path: Path) -> None:
    empty = RunContext(store_uri=(tmp_path / "store").as_uri(), cache=str(tmp_path / "cache"))
    with pytest.raises(ConfigError, match="run `dualvla curate` first"):
        find_episode(empty, "aa")


def test_explain_tells_an_episode_span_by_span(run: RunContext) -> None:
    told = CliRunner().invoke(app, ["explain", "7"])
    assert told.exit_code == 0, told.output
    assert "3 of 6 frames are key-frames (rule scene_only, boundary threshold 0.5)" in told.output
    spans = [[cell.strip() for cell in line.split("│")[1:-1]] for line in told.output.splitlines() if "│" in line]
    assert [span[:4] for span in spans] == [
        ["0", "0.00-0.10", "dropped", "no event boundary"],
        ["1-3", "0.10-0.40", "kept", "event boundary"],
        ["4-5", "0.40-0.60", "dropped", "no event boundary"],
    ]
    assert [int(span[4]) for span in spans] == [3, 9, 6]


def test_explain_tells_one_frame(run: RunContext) -> None:
    told = CliRunner().invoke(app, ["explain", "ab", "--frame", "2"])
    assert told.output.startswith("Frame 2 of episode ab22 keeps its reasoning of 3 words.")
    assert told.output.endswith("  subtask: ab22 says 2\n")
    missing = CliRunner().invoke(app, ["explain", "ab", "--frame", "6"])
    assert "the frames 0 to 5, but --frame is 6" in str(missing.exception)


def test_explain_tells_reasoning_that_was_added_to_the_segment(run: RunContext, tmp_path: Path) -> None:
    decided = find_episode(run, "ab").decided
    inputs = {role: refs[0] for role, refs in decided.request.inputs.items()}
    rows = [
        {"episode": name, "frame_index": frame, "reasoning": [{"style": "motion", "content": f"{name} moves {frame}"}]}
        for name in NAMES
        for frame in range(6)
    ]
    (tmp_path / "added").mkdir()
    pq.write_table(pa.Table.from_pylist(rows, ANNOTATED), tmp_path / "added" / "reasoning.parquet")
    added = _commit(run, "annotate_reasoning", tmp_path / "added")
    _commit(run, "prune_reasoning", open_artifacts(run).folder(decided.ref), **inputs, reasoning=added)
    told = CliRunner().invoke(app, ["explain", "ab", "--frame", "2"])
    assert told.output.endswith("  motion: ab22 moves 2\n"), told.output


def test_a_trainings_decision_to_keep_everything_is_no_explanation(run: RunContext) -> None:
    decided = find_episode(run, "ab").decided
    inputs = {role: refs[0] for role, refs in decided.request.inputs.items()}
    everything = _commit(run, "prune_reasoning", open_artifacts(run).folder(decided.ref), rule="none", **inputs)
    assert find_episode(run, "ab").decided == decided
    assert find_episode(run, "ab", "none").decided.ref == everything
    assert "(rule none," in CliRunner().invoke(app, ["explain", "ab", "--rule", "none"]).output
    with pytest.raises(ConfigError, match="not pruned by the rule 'dual' yet"):
        find_episode(run, "ab", "dual")


def test_view_writes_a_recording(run: RunContext, tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="the extra `view` is not installed")
    path = tmp_path / "episode.rrd"
    told = CliRunner().invoke(app, ["view", "aa", "--output", str(path)])
    assert told.exit_code == 0, told.output
    assert path.stat().st_size > 1000
    nowhere = CliRunner().invoke(app, ["view", "aa", "--output", str(tmp_path / "no" / "a.rrd")])
    assert "There is no folder" in str(nowhere.exception)
