from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from dualvla_core.episodes.file_digests import FileDigests, dataset_files_digest
from dualvla_core.errors import ArtifactError


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    (tmp_path / "set" / "meta").mkdir(parents=True)
    (tmp_path / "set" / "meta" / "info.json").write_text("info")
    (tmp_path / "set" / "a.parquet").write_text("rows")
    return tmp_path / "set"


def forbid_hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise AssertionError("a file was hashed again")

    monkeypatch.setattr(hashlib, "file_digest", fail)


def test_an_unchanged_file_is_hashed_once_across_runs(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memo, file = FileDigests(), dataset.parent / "memo.json"
    assert memo.sha256(dataset, dataset / "a.parquet") == hashlib.sha256(b"rows").hexdigest()
    before = dataset_files_digest(dataset, memo)
    memo.save(file)
    forbid_hashing(monkeypatch)
    assert dataset_files_digest(dataset, FileDigests.load(file)) == before


def test_a_touched_file_is_hashed_again(dataset: Path) -> None:
    memo = FileDigests()
    before = dataset_files_digest(dataset, memo)
    (dataset / "a.parquet").write_text("ROWS")
    os.utime(dataset / "a.parquet", ns=(1, 1))
    assert dataset_files_digest(dataset, memo) != before
    (dataset / "a.parquet").write_text("rows")
    os.utime(dataset / "a.parquet", ns=(2, 2))
    assert dataset_files_digest(dataset, memo) == before


def test_names_count_and_hidden_files_do_not(dataset: Path) -> None:
    before = dataset_files_digest(dataset, FileDigests())
    (dataset / ".cache").mkdir()
    (dataset / ".cache" / "download.lock").write_text("x")
    assert dataset_files_digest(dataset, FileDigests()) == before
    (dataset / "a.parquet").rename(dataset / "b.parquet")
    assert dataset_files_digest(dataset, FileDigests()) != before


def test_nothing_is_remembered_without_a_file_and_a_broken_one_is_named(tmp_path: Path) -> None:
    FileDigests.load(tmp_path / "absent.json").save(tmp_path / "memo.json")
    assert (tmp_path / "memo.json").read_text() == "{}"
    for text in ("[", "[1]", '{"a": [1]}'):
        (tmp_path / "memo.json").write_text(text)
        with pytest.raises(ArtifactError, match=r"memo.json does not hold remembered file digests; delete it"):
            FileDigests.load(tmp_path / "memo.json")
