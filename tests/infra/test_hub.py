from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import huggingface_hub
import pytest
from huggingface_hub import errors

from dualvla_core.errors import DatasetError
from infra.hub import fetch_dataset, is_hub_name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lerobot/pusht", True),
        ("lerobot/pusht@v2.1", True),
        ("lerobot/pusht@refs/convert/x", True),
        ("pusht", False),
        ("./pusht", False),
        ("../data/pusht", False),
        ("/data/pusht", False),
        ("a/b/c", False),
    ],
)
def test_what_can_be_a_name(text: str, expected: bool) -> None:
    assert is_hub_name(text) is expected


def test_the_snapshot_of_a_revision_is_fetched_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[Any, ...]] = []

    def download(repository: str, **options: Any) -> str:
        asked.append((repository, options))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    fetch_dataset.cache_clear()
    assert [fetch_dataset("owner/set@v2"), fetch_dataset("owner/set@v2")] == [tmp_path, tmp_path]
    assert asked == [("owner/set", {"repo_type": "dataset", "revision": "v2"})]


def response(status: int) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("GET", "https://hub.invalid"))


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (
            errors.LocalEntryNotFoundError("x"),
            r"the hub cannot be reached .*\(LocalEntryNotFoundError\); connect, or give",
        ),
        (errors.OfflineModeIsEnabled("x"), r"the hub cannot be reached"),
        (ConnectionError("x"), r"the hub cannot be reached"),
        (errors.RepositoryNotFoundError("x", response=response(404)), r"no dataset 'owner/set' on the hub"),
        (errors.GatedRepoError("x", response=response(403)), r"is gated; accept its terms"),
        (errors.RevisionNotFoundError("x", response=response(404)), r"has no revision 'v9'"),
    ],
)
def test_refusals_are_one_sentence(failure: Exception, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: Any, **__: Any) -> str:
        raise failure

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    fetch_dataset.cache_clear()
    with pytest.raises(DatasetError, match=sentence):
        fetch_dataset("owner/set@v9")
