"""Files that are cut, flipped or blanked somewhere cost their episodes at most, and end in sentences."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from dualvla_core.episodes.checks import diagnose
from dualvla_core.episodes.reader import open_dataset
from dualvla_core.episodes.scan import scan_demonstrations
from dualvla_core.errors import ConfigError, DatasetError
from tests.dualvla_core.episodes.rlds_files import episode, write_rlds
from tests.dualvla_core.episodes.test_hdf5 import aloha, robomimic

Make = Callable[..., Any]
TRIALS = 6  # for each file


def cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 8, 64])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def blank(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    data[start : start + 4096] = bytes(len(data[start : start + 4096]))


SPOIL = (cut, flip, blank)


def is_a_sentence(text: str) -> bool:
    return text.endswith(".") and "\n" not in text and "Traceback" not in text


def scanned(dataset: Path, output: Path) -> tuple[dict[int, str], dict[int, str]]:
    """The digests of the readable episodes, and the reasons of the others."""
    output.mkdir()
    scan_demonstrations(dataset, None, output)
    found, skipped = (pq.read_table(output / f"{name}.parquet").to_pylist() for name in ("scan", "skipped"))
    return (
        {row["episode_index"]: row["episode"] for row in found},
        {row["episode_index"]: row["reason"] for row in skipped},
    )


@pytest.fixture(params=["v2", "v3", "rlds", "robomimic", "aloha"])
def dataset(request: pytest.FixtureRequest, write_dataset: Make, merge: Make, tmp_path: Path) -> Path:
    """Three episodes in each of the layouts."""
    root = tmp_path / "set"
    if request.param == "rlds":
        write_rlds(root, {"train": [episode(4, seed) for seed in range(3)]})
    elif request.param == "robomimic":
        robomimic(root / "two.hdf5")
        robomimic(root / "one.hdf5", lengths=(5,))
    elif request.param == "aloha":
        root.mkdir()
        for number in range(3):
            aloha(root / f"episode_{number}.hdf5", seed=number)
    elif request.param == "v3":
        merge(write_dataset(3, name="source"), [0, 1, 2], "set")
    else:
        write_dataset(3)
    return root


def test_a_broken_file_never_ends_in_a_traceback_nor_costs_what_lies_elsewhere(dataset: Path, tmp_path: Path) -> None:
    rng = random.Random(0)
    whole, none = scanned(dataset, tmp_path / "whole")
    assert (len(whole), none) == (3, {})
    reader = open_dataset(dataset)
    holding = {index: reader.files(index) for index in whole}
    skips = 0
    for number, file in enumerate(sorted(file for file in dataset.rglob("*") if file.is_file()) * TRIALS):
        elsewhere = {digest for index, digest in whole.items() if file not in holding[index]}
        is_metadata = len(elsewhere) == len(whole)
        sound = file.read_bytes()
        data = bytearray(sound)
        SPOIL[number % len(SPOIL)](data, rng)
        file.write_bytes(data)
        refusal = None
        found, skipped = {}, {}
        try:
            found, skipped = scanned(dataset, tmp_path / str(number))
        except (DatasetError, ConfigError) as error:
            refusal = str(error)
        assert is_metadata or elsewhere <= set(found.values()), (file, skipped, refusal)
        said = [*skipped.values(), *(check.finding for check in diagnose(dataset).checks), refusal or "."]
        assert all(map(is_a_sentence, said)), said
        skips += len(skipped)
        file.write_bytes(sound)
    assert scanned(dataset, tmp_path / "again")[0] == whole
    assert skips > 0  # or nothing was broken at all
