from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import httpx
import huggingface_hub
import pytest
from huggingface_hub import errors

from dualvla_core.errors import ConfigError, DatasetError
from infra.hub import fetch_dataset, is_hub_name, push_checkpoint


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


class LocalHub:
    """The calls of HfApi that publishing makes, into a folder."""

    root: Path
    refuses: Exception | None = None

    def create_repo(self, repository: str, *, private: bool, exist_ok: bool) -> str:
        if self.refuses is not None:
            raise self.refuses
        (self.root / repository).mkdir(parents=True, exist_ok=exist_ok)
        (self.root / "private").write_text(str(private))
        return f"https://hub.invalid/{repository}"

    def upload_folder(self, *, repo_id: str, folder_path: Path, ignore_patterns: list[str]) -> None:
        shutil.copytree(
            folder_path, self.root / repo_id, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*ignore_patterns)
        )

    def upload_file(self, *, repo_id: str, path_or_fileobj: bytes, path_in_repo: str) -> None:
        (self.root / repo_id / path_in_repo).write_bytes(path_or_fileobj)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[LocalHub]:
    fake = type("Fake", (LocalHub,), {"root": tmp_path / "hub"})
    fake.root.mkdir()
    monkeypatch.setattr(huggingface_hub, "HfApi", fake)
    return fake


def test_a_checkpoint_is_published_with_its_card(hub: type[LocalHub], tmp_path: Path) -> None:
    (tmp_path / "saved" / "backbone").mkdir(parents=True)
    for name in ("config.json", "backbone/config.json", "metrics.jsonl", "README.md"):
        (tmp_path / "saved" / name).write_text("{}")
    assert (
        push_checkpoint(tmp_path / "saved", "owner/policy", "# Card", private=True)
        == "https://hub.invalid/owner/policy"
    )
    pushed = hub.root / "owner/policy"
    assert {str(path.relative_to(pushed)) for path in pushed.rglob("*") if path.is_file()} == {
        "config.json",
        "backbone/config.json",
        "README.md",
    }
    assert (pushed / "README.md").read_text() == "# Card"
    assert (hub.root / "private").read_text() == "True"


def test_what_the_hub_refuses_is_one_sentence(hub: type[LocalHub], tmp_path: Path) -> None:
    hub.refuses = ConnectionError("x")
    with pytest.raises(ConfigError, match="did not take owner/policy"):
        push_checkpoint(tmp_path, "owner/policy", "", private=False)
    with pytest.raises(ConfigError, match="expected owner/name"):
        push_checkpoint(tmp_path, "policy", "", private=False)
