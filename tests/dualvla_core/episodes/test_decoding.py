from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from dualvla_core.episodes.config import DecodeConfig
from dualvla_core.episodes.decoding import decode_episode, decode_episodes, encode_image
from dualvla_core.episodes.reader import open_dataset
from dualvla_core.episodes.scan import scan_demonstrations
from dualvla_core.episodes.segment import Segment
from dualvla_core.errors import ConfigError, EpisodeError
from dualvla_core.schemas import SIGNALS

Make = Callable[..., Any]
CAMERA = "observation.images.front"


@pytest.fixture
def scanned(tmp_path: Path) -> Callable[[Path], dict[str, int]]:
    """The episodes of a dataset by digest, as a scan finds them."""

    def scan(dataset: Path) -> dict[str, int]:
        output = tmp_path / f"scan of {dataset.name}"
        output.mkdir()
        scan_demonstrations(dataset, None, output)
        rows = pq.read_table(output / "scan.parquet").to_pylist()
        return {row["episode"]: row["episode_index"] for row in rows}

    return scan


def skipped(folder: Path) -> list[tuple[int, str]]:
    return [(row["episode_index"], row["reason"]) for row in pq.read_table(folder / "skipped.parquet").to_pylist()]


def test_a_segment_holds_what_was_asked_for_in_that_order(
    write_dataset: Make, demo: Make, scanned: Make, tmp_path: Path
) -> None:
    dataset = write_dataset([demo(length=1), demo(length=5, seed=1), demo(length=6, seed=2)])
    episodes = dict(reversed(list(scanned(dataset).items())[1:]))
    told: list[tuple[int, int]] = []
    outputs = [tmp_path / "a", tmp_path / "b"]
    for output in outputs:
        output.mkdir()
        summary = decode_episodes(
            DecodeConfig(), dataset, None, episodes, output, lambda done, total: told.append((done, total))
        )
    assert told[:3] == [(0, 2), (1, 2), (2, 2)]
    for file in outputs[0].iterdir():
        assert file.read_bytes() == (outputs[1] / file.name).read_bytes()
    size = (outputs[0] / "frames.arrow").stat().st_size
    assert summary == {"episodes": 2, "frames": 11, "skipped": 0, "bytes": size}
    segment = Segment(outputs[0])
    assert segment.episodes["episode"].to_pylist() == list(episodes)
    assert segment.embodiment.name == "metaworld_sawyer"
    reader = open_dataset(dataset)
    for position, (digest, index) in enumerate(episodes.items()):
        signals = segment.signals(position)
        assert set(signals["episode"].to_pylist()) == {digest}
        expected = reader.signals(index).drop_columns(["episode"])
        assert signals.select(SIGNALS.names[1:]).equals(expected.combine_chunks().to_batches()[0])
        for stored, image in zip(segment.frames(position, CAMERA), reader.frames(index, CAMERA), strict=True):
            assert np.abs(stored.astype(int) - image).max() <= 6  # JPEG


def test_real_g1_frames(real_dataset: Make, merge: Make, scanned: Make, tmp_path: Path) -> None:
    """A real AV1 episode, from a v3 copy of the dataset, against PyAV's own conversion of the original."""
    source = real_dataset("g1_real_lerobot_v21")
    digest = list(scanned(source))[1]
    (tmp_path / "out").mkdir()
    decode_episodes(DecodeConfig(image_size=160), merge(source, [0, 1]), None, {digest: 1}, tmp_path / "out")
    segment = Segment(tmp_path / "out")
    assert len(segment.images(0, segment.cameras[0])) == 343
    stored = next(segment.frames(0, segment.cameras[0]))
    reader = open_dataset(source)
    expected = cv2.resize(next(iter(reader.frames(1, reader.cameras[0]))), (160, 120), interpolation=cv2.INTER_AREA)
    assert stored.shape == (120, 160, 3)
    assert np.abs(stored.astype(int) - expected).mean() < 2


@pytest.mark.parametrize(
    ("opener", "reason"),
    [
        ("open_crashing", "The decoder crashed on this episode (SIGSEGV)."),
        ("open_losing", f"Camera {CAMERA!r} gave 5 frames for 6 rows."),
        ("open_stumbling", "Decoding failed with KeyError: 'no such codec'"),
        ("open_overwriting", "The episode's files changed while being read; scan the dataset again."),
    ],
)
def test_an_episode_that_goes_wrong_costs_no_other(
    opener: str, reason: str, faulty: ModuleType, write_dataset: Make, scanned: Make, tmp_path: Path
) -> None:
    dataset, output = write_dataset(3), tmp_path / "out"
    episodes = scanned(dataset)
    output.mkdir()
    summary = decode_episodes(DecodeConfig(), dataset, None, episodes, output, open_reader=getattr(faulty, opener))
    assert skipped(output) == [(1, reason)]
    assert (summary["episodes"], summary["skipped"]) == (2, 1)
    assert Segment(output).episodes["episode"].to_pylist() == [name for name, index in episodes.items() if index != 1]


@pytest.mark.parametrize(
    ("opener", "reason"),
    [("open_losing", "gave 5 frames for 6 rows"), ("open_overwriting", "changed while being read")],
)
def test_one_episode_is_checked_while_it_is_decoded(
    opener: str, reason: str, faulty: ModuleType, write_dataset: Make, scanned: Make
) -> None:
    dataset = write_dataset(2)
    first, second = scanned(dataset)
    reader = getattr(faulty, opener)(dataset, None)
    assert decode_episode(reader, DecodeConfig(), 0, first).num_rows == 6
    with pytest.raises(EpisodeError, match=reason):
        decode_episode(reader, DecodeConfig(), 1, second)
    with pytest.raises(EpisodeError, match="no longer the one that was scanned"):
        decode_episode(reader, DecodeConfig(), 0, second)


def test_more_images_than_a_column_can_hold_are_refused(
    write_dataset: Make, scanned: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualvla_core.episodes.decoding._MAX_COLUMN_BYTES", 100)
    dataset = write_dataset(1)
    (digest,) = scanned(dataset)
    with pytest.raises(EpisodeError, match="more than 2 GiB of images in one episode; set a smaller image_size"):
        decode_episode(open_dataset(dataset), DecodeConfig(), 0, digest)


def test_a_hanging_decoder_is_stopped(faulty: ModuleType, write_dataset: Make, scanned: Make, tmp_path: Path) -> None:
    dataset, output = write_dataset(3), tmp_path / "out"
    episodes = scanned(dataset)
    output.mkdir()
    decode_episodes(
        DecodeConfig(), dataset, None, episodes, output, episode_timeout_s=2, open_reader=faulty.open_hanging
    )
    assert skipped(output) == [(1, "Decoding took longer than 2 s and was stopped.")]
    assert len(Segment(output)) == 2


def test_a_decoder_that_does_not_start_is_no_episodes_fault(
    faulty: ModuleType, write_dataset: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUALVLA_TEST_PARENT", str(os.getpid()))
    (tmp_path / "out").mkdir()
    with pytest.raises(RuntimeError, match=r"did not start \(exit status 3\)"):
        decode_episodes(
            DecodeConfig(), write_dataset(1), None, {"aa": 0}, tmp_path / "out", open_reader=faulty.open_in_parent_only
        )
    assert not (tmp_path / "out" / "episodes.parquet").exists()


def test_episodes_that_changed_since_the_scan_are_refused(
    write_dataset: Make, demo: Make, scanned: Make, tmp_path: Path
) -> None:
    dataset, output = write_dataset([demo(), demo(seed=1), demo(seed=2)]), tmp_path / "out"
    first, second, third = scanned(dataset)
    (dataset / "data/chunk-000/episode_000001.parquet").unlink()
    output.mkdir()
    decode_episodes(DecodeConfig(), dataset, None, {third: 0, second: 1, first: 0}, output)
    assert skipped(output) == [
        (0, "The episode is no longer the one that was scanned: it changed; scan the dataset again."),
        (1, "A file of the episode is missing; scan the dataset again."),
    ]
    assert Segment(output).episodes["episode"].to_pylist() == [first]


def test_an_unknown_camera_is_refused(write_dataset: Make, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"no camera 'top'; choose from \['{CAMERA}'\]"):
        decode_episodes(DecodeConfig(cameras=("top",)), write_dataset(1), None, {}, tmp_path)


@pytest.mark.parametrize(
    ("size", "shape"), [(None, (48, 64, 3)), (32, (24, 32, 3)), (64, (48, 64, 3)), (100, (48, 64, 3))]
)
def test_images_are_shrunk_never_enlarged(size: int | None, shape: tuple[int, ...], demo: Make) -> None:
    encoded = encode_image(demo().images()[0], DecodeConfig(image_size=size))
    decoded = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape == shape
    assert decoded[0, 0].tolist() == pytest.approx([20, 20, 40], abs=4)  # BGR of red 40


def test_quality_decides_the_size() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    assert len(encode_image(noise, DecodeConfig(jpeg_quality=50))) < len(encode_image(noise, DecodeConfig()))
