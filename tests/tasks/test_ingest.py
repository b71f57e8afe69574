"""From a dataset to a collection through the real stages: what is decoded, withdrawn, annotated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from dualvla_core.episodes.config import AnnotateConfig, DecodeConfig
from dualvla_core.episodes.segment import Segment
from dualvla_core.errors import ArtifactError, DatasetError
from dualvla_core.params import Summary
from dualvla_core.shards import MultimodalConfig
from flows.cli import app
from infra.manifest import ArtifactRef
from tasks.annotate_reasoning import annotate_reasoning, read_annotations
from tasks.build_shards import MultimodalSource, build_multimodal_shard
from tasks.dataset import DatasetSource
from tasks.decode_episodes import collect_episodes, decode_episodes
from tasks.plan import plan_decoding, scan_demonstrations
from tasks.stage import Job, RunContext, StageTask, Work, commit_once, open_artifacts, stage
from tasks.withdrawal import containing, withdraw, withdrawn_episodes
from tests.dualvla_core.episodes.conftest import Demo, merge_to_v3, write_v2
from tests.dualvla_core.episodes.rlds_files import TEXT, episode, tensor, write_rlds


@pytest.fixture
def run(tmp_path: Path) -> RunContext:
    return RunContext(store_uri=str(tmp_path / "home" / "store"), cache=str(tmp_path / "home" / "cache"))


def do(stage: StageTask, run: RunContext, *args: object) -> tuple[ArtifactRef, bool]:
    """Execute a stage or find it; whether it was executed."""
    manifest, hit = commit_once(stage, run, stage.declare(run, *args))
    return manifest.ref, not hit


def decode(run: RunContext, source: DatasetSource, batch: int = 400) -> tuple[ArtifactRef, list[ArtifactRef], int]:
    """Scan, plan and decode; also how many episodes were decoded now."""
    scanned, _ = do(scan_demonstrations, run, source)
    batches = plan_decoding.fn(run, DecodeConfig(), source, scanned, batch)
    segments, decoded = [], 0
    for names in batches:
        ref, executed = do(decode_episodes, run, DecodeConfig(), source, scanned, names, 60.0)
        segments.append(ref)
        decoded += len(names) if executed else 0
    return scanned, segments, decoded


def test_one_episode_added_to_a_thousand_decodes_one(run: RunContext, tmp_path: Path) -> None:
    """The shared file is rewritten, as an append to RLDS or LeRobot v3 does."""
    episodes = [episode(1, seed) for seed in range(1000)]
    source = DatasetSource(name="many", path=str(write_rlds(tmp_path / "one", {"train": episodes})))
    assert decode(run, source, batch=1000)[2] == 1000
    grown = DatasetSource(name="many", path=str(write_rlds(tmp_path / "two", {"train": [episode(1, 5000), *episodes]})))
    scanned, segments, decoded = decode(run, grown, batch=1000)
    assert decoded == 1
    collection, _ = do(collect_episodes, run, 0.2, scanned, tuple(segments))
    assert open_artifacts(run).manifest(collection).summary["episodes"] == 1001


def test_an_append_to_a_shared_file_of_lerobot_v3_decodes_the_new_episode_only(run: RunContext, tmp_path: Path) -> None:
    whole = write_v2(tmp_path / "whole", [Demo(seed=seed) for seed in range(4)])
    before = DatasetSource(name="growing", path=str(merge_to_v3(whole, tmp_path / "before", [0, 1, 2])))
    scanned, segments, decoded = decode(run, before)
    assert decoded == 3
    after = DatasetSource(name="growing", path=str(merge_to_v3(whole, tmp_path / "after", [0, 1, 2, 3])))
    rescanned, more, decoded = decode(run, after)
    assert decoded == 1
    assert set(segments) < set(more)
    old, new = (
        pq.read_table(open_artifacts(run).folder(scan) / "scan.parquet")["episode"].to_pylist()
        for scan in (scanned, rescanned)
    )
    assert new[:3] == old


@pytest.fixture
def small(tmp_path: Path) -> DatasetSource:
    top = {"episode_metadata/file_path": TEXT, "episode_metadata/episode_id": tensor(dtype="int32")}
    named = [
        episode(4, n, **{"episode_metadata/file_path": [b"a/out.npy"], "episode_metadata/episode_id": np.array([n])})
        for n in range(3)
    ]
    return DatasetSource(name="small", path=str(write_rlds(tmp_path / "small", {"train": named}, top=top)))


def test_a_withdrawn_episode_is_in_no_later_collection(
    run: RunContext, small: DatasetSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_artifacts(run)
    scanned, segments, _ = decode(run, small)
    before, _ = do(collect_episodes, run, 0.2, scanned, tuple(segments))
    rows = pq.read_table(store.folder(before) / "collection.parquet")["episode"].to_pylist()
    monkeypatch.setenv("DUALVLA_HOME", str(tmp_path / "home"))
    told = CliRunner().invoke(app, ["episodes", "withdraw", rows[1][:10], "--reason", "the camera was moved"])
    assert told.exit_code == 0, told.output
    assert f"{rows[1]} is withdrawn. 3 artifacts contain it, 0 of them checkpoints" in told.output
    assert withdrawn_episodes(store) == {rows[1]: "the camera was moved"}
    after, executed = do(collect_episodes, run, 0.2, scanned, tuple(segments))
    assert executed
    folder = store.folder(after)
    assert pq.read_table(folder / "collection.parquet")["episode"].to_pylist() == [rows[0], rows[2]]
    skipped = pq.read_table(folder / "skipped.parquet").to_pylist()
    assert skipped == [{"episode_index": 1, "episode": rows[1], "reason": "It was withdrawn: the camera was moved"}]
    stages = [each.manifest.request.stage for each in containing(store, rows[1])]
    assert sorted(stages) == ["collect_episodes", "decode_episodes", "scan_demonstrations"]  # not the later collection
    for digest in ("", "zz"):
        with pytest.raises(ArtifactError, match=rf"0 of the 3 episodes known .* begin with '{digest}'"):
            withdraw(store, digest, "x")


@stage("train_specialist", version=1)
def a_training(_run: RunContext, collection: ArtifactRef, segments: tuple[ArtifactRef, ...]) -> Work:
    """As much of a training as the store sees of one."""

    def body(job: Job) -> Summary:
        (job.output / "model.safetensors").write_bytes(b"weights")
        return {}

    return Work(params={}, inputs={"collection": collection, "shards": segments}, body=body)


def test_checkpoints_that_contain_a_withdrawn_episode_are_named(
    run: RunContext, small: DatasetSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two trainings on the same shards the second's collection is without the episode."""
    scanned, segments, _ = decode(run, small)
    collection, _ = do(collect_episodes, run, 0.2, scanned, tuple(segments))
    trained, _ = do(a_training, run, collection, tuple(segments))
    store = open_artifacts(run)
    digest = pq.read_table(store.folder(collection) / "collection.parquet")["episode"][0].as_py()
    monkeypatch.setenv("DUALVLA_HOME", str(tmp_path / "home"))
    told = CliRunner().invoke(app, ["episodes", "withdraw", digest, "--reason", "wrong"])
    assert "4 artifacts contain it, 1 of them checkpoints" in told.output
    assert str(trained) in told.output
    again, _ = do(collect_episodes, run, 0.2, scanned, tuple(segments))
    do(a_training, run, again, tuple(segments))
    assert [each.manifest.ref for each in containing(store, digest) if each.is_checkpoint] == [trained]


def test_a_withdrawn_episode_is_not_decoded(run: RunContext, small: DatasetSource) -> None:
    scanned, _ = do(scan_demonstrations, run, small)
    store = open_artifacts(run)
    first = pq.read_table(store.folder(scanned) / "scan.parquet")["episode"][0].as_py()
    withdraw(store, first, "wrong")
    assert decode(run, small)[2] == 2


def test_annotations_of_others_re_annotate_nothing(run: RunContext, small: DatasetSource, tmp_path: Path) -> None:
    scanned, segments, _ = decode(run, small, batch=1)
    config = AnnotateConfig(motions=True)
    file = tmp_path / "instruction.json"

    def annotate(entries: dict[str, list[str]]) -> list[tuple[ArtifactRef, bool]]:
        said = {number: {"features": {"move_primitive": moves}} for number, moves in entries.items()}
        file.write_text(json.dumps({"a/out.npy": said}))
        read, _ = do(read_annotations, run, config, (str(file),), scanned)
        return [do(annotate_reasoning, run, config, segment, read) for segment in segments]

    first = annotate({"0": ["up"] * 4})
    second = annotate({"0": ["up"] * 4, "2": ["down"] * 4})
    assert [executed for _, executed in second].count(True) == 1
    store = open_artifacts(run)
    contents = [
        {piece["content"] for pieces in Segment(store.folder(segment), store.folder(reasoning)).signals(0)
         .column("reasoning").to_pylist() for piece in pieces}
        for segment, (reasoning, _) in zip(segments, second, strict=True)
    ]  # fmt: skip
    assert [{"up"} in contents, {"down"} in contents] == [True, True]
    assert len({str(ref) for ref, _ in first} & {str(ref) for ref, _ in second}) == 2
    with pytest.raises(DatasetError, match=r"There is no annotation file 'absent.json'"):
        read_annotations.declare(run, config, ("absent.json",), scanned)


def test_a_users_own_conversations(run: RunContext, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(episode(1)["steps/observation/image_0"][0])
    turns = [{"from": "human", "value": "<image>What?"}, {"from": "gpt", "value": "That."}]
    file = tmp_path / "llava.json"
    file.write_text(json.dumps([{"image": "a.jpg", "conversations": turns}, {"conversations": turns}]))
    source = MultimodalSource(path=str(file))
    ref, _ = do(build_multimodal_shard, run, MultimodalConfig(), source)
    assert open_artifacts(run).manifest(ref).summary == {"samples": 2, "questions": 1, "skipped": 1}
    assert not do(build_multimodal_shard, run, MultimodalConfig(), source)[1]
    (tmp_path / "images" / "a.jpg").write_bytes(b"")
    assert do(build_multimodal_shard, run, MultimodalConfig(), source)[1]  # other images, another shard
    with pytest.raises(DatasetError, match="There is no file of conversations"):
        build_multimodal_shard.declare(run, MultimodalConfig(), MultimodalSource(path=str(tmp_path / "x.json")))
