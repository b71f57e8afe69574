"""A dataset in a bucket is read from a folder that does not change; only what is new is downloaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualvla_core.errors import DatasetError
from infra.dataset_snapshot import dataset_snapshot
from infra.object_store import open_store
from tests.seaweedfs import S3Service


def test_snapshots_of_a_growing_dataset(s3_service: S3Service, tmp_path: Path) -> None:
    uri, endpoint = f"s3://{s3_service.make_bucket()}/lab/demos", s3_service.endpoint_url
    bucket = open_store(uri, endpoint)
    bucket.put("meta/info.json", b"1 episode")
    bucket.put("data/one", b"one")
    first = dataset_snapshot(uri, endpoint, tmp_path, "run 1")
    bucket.put("meta/info.json", b"two episodes")
    bucket.put("data/two", b"two")
    assert dataset_snapshot(uri, endpoint, tmp_path, "run 1") == first  # one look a run
    second = dataset_snapshot(uri, endpoint, tmp_path, "run 2")
    assert (first / "meta/info.json").read_bytes() == b"1 episode"
    assert not (first / "data/two").exists()
    assert (second / "meta/info.json").read_bytes() == b"two episodes"
    assert (second / "data/two").read_bytes() == b"two"
    assert (second / "data/one").stat().st_ino == (first / "data/one").stat().st_ino  # not downloaded again


def test_an_empty_place_is_named(s3_service: S3Service, tmp_path: Path) -> None:
    uri = f"s3://{s3_service.make_bucket()}/nothing"
    with pytest.raises(DatasetError, match="There is nothing in"):
        dataset_snapshot(uri, s3_service.endpoint_url, tmp_path, "run")
