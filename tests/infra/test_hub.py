from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import huggingface_hub
import pytest

from dualvla_core.errors import ConfigError
from infra.hub import is_hub_name, push_checkpoint
from tests.infra.hub_server import COMMIT, Hub, hub_server


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


@pytest.fixture
def hub_of_datasets() -> Iterator[Hub]:
    with hub_server() as hub:
        yield hub


@pytest.fixture
def ask(hub_of_datasets: Hub, tmp_path: Path) -> Callable[..., list[str]]:
    """Call functions of `infra.hub` in a process whose environment names the server; what each call answered."""

    def run(*calls: tuple[str, str], **environment: str) -> list[str]:
        told = {"HF_ENDPOINT": hub_of_datasets.url, "HF_HOME": str(tmp_path / "home"), **environment}
        answers: list[str] = json.loads(in_process(ASKING, json.dumps(calls), told))
        return answers

    return run


def in_process(program: str, argument: str, environment: Mapping[str, str]) -> str:
    """The last line the program prints."""
    done = subprocess.run(
        [sys.executable, "-c", program, argument],
        env={**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_XET": "1", **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout.splitlines()[-1]


ASKING = """
import json, sys
from dualvla_core.errors import UserError
from infra import hub
def answer(call, name):
    try:
        return str(getattr(hub, call)(name))
    except UserError as error:
        return str(error)
print(json.dumps([answer(*each) for each in json.loads(sys.argv[1])]))
"""


def lerobot(root: Path, version: str) -> Path:
    """The files of a LeRobot dataset, of which only ``meta/info.json`` says anything."""
    for name in ("meta/info.json", "meta/tasks.jsonl", "data/chunk-000/episode_000000.parquet", "videos/a b.mp4"):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"codebase_version": version}) if name == "meta/info.json" else name)
    return root


def test_metadata_comes_first_and_everything_once(
    hub_of_datasets: Hub, ask: Callable[..., list[str]], tmp_path: Path
) -> None:
    hub_of_datasets.datasets["lab/demos"] = lerobot(tmp_path / "demos", "v2.1")
    fetch, pin = "fetch_dataset", "pinned_dataset"
    (folder,) = ask((fetch, "lab/demos"))
    assert Path(folder).name == COMMIT["main"]
    held = {str(file.relative_to(folder)): file.read_text() for file in Path(folder).rglob("*") if file.is_file()}
    assert held == {
        str(file.relative_to(tmp_path / "demos")): file.read_text()
        for file in (tmp_path / "demos").rglob("*")
        if file.is_file()
    }
    fetched = list(hub_of_datasets.fetched)
    assert {name.partition("/")[0] for name in fetched[:2]} == {"meta"}
    assert sorted(fetched) == sorted(held)
    hub_of_datasets.requests.clear()
    again = ask((fetch, f"lab/demos@{COMMIT['main']}"), (pin, f"lab/demos@{COMMIT['main']}"))
    assert again == [folder, f"lab/demos@{COMMIT['main']}"]
    assert hub_of_datasets.requests == []  # what a commit holds does not change
    pinned = [f"lab/demos@{COMMIT[name]}" for name in ("main", "v2")]
    assert ask((pin, "lab/demos"), (pin, "lab/demos@v2")) == pinned
    offline = ask((fetch, "lab/demos"), (pin, "lab/demos"), (fetch, pinned[1]), HF_HUB_OFFLINE="1")
    assert offline[:2] == [folder, pinned[0]]
    assert "is neither complete in the cache nor can it be fetched" in offline[2]  # only its metadata is here
    unreachable = ask((fetch, "lab/demos"), (fetch, "lab/elsewhere"), HF_ENDPOINT="http://127.0.0.1:9")
    assert unreachable[0] == folder
    assert unreachable[1].startswith("There is no folder 'lab/elsewhere' here, and the hub's dataset of this name is")


def test_what_cannot_be_had_is_told_in_one_sentence(
    hub_of_datasets: Hub, ask: Callable[..., list[str]], tmp_path: Path
) -> None:
    for name in ("lab/gated", "lab/failing"):
        hub_of_datasets.datasets[name] = lerobot(tmp_path / name, "v2.1")
    hub_of_datasets.datasets["lab/legacy"] = lerobot(tmp_path / "legacy", "v1.6")
    hub_of_datasets.gated.add("lab/gated")
    hub_of_datasets.broken.add(".parquet")
    names = ("lab/gated", "lab/nothing", "lab/legacy@v9", "lab/failing", "lab/legacy")
    *told, refused = ask(*(("fetch_dataset", name) for name in names))
    assert told == [
        "The hub dataset lab/gated is gated; accept its terms on its page and run `hf auth login`.",
        "There is no folder 'lab/nothing' here and no such dataset on the hub (or it is private: "
        "`hf auth login`); correct the name.",
        "The hub dataset lab/legacy has no revision 'v9'; correct it.",
        "There is no folder 'lab/failing' here, and the hub's dataset of this name is neither complete in the cache "
        "nor can it be fetched (LocalEntryNotFoundError); connect, or give the folder of a copy.",
    ]
    assert "is a dataset in the layout LeRobot v1: convert it with LeRobot's own scripts" in refused
    assert not any(name.endswith(".mp4") and "legacy" in name for name in hub_of_datasets.requests)


def test_a_dataset_of_the_hub_is_examined_and_scanned_by_its_name(
    hub_of_datasets: Hub, shared_data: Path, tmp_path: Path
) -> None:
    """Through the doors of a user: the doctor, and a scan whose record names the commit."""
    hub_of_datasets.datasets["lab/gr1"] = shared_data / "gr1_sim_lerobot_v20"
    told = {"HF_ENDPOINT": hub_of_datasets.url, "HF_HOME": str(tmp_path / "home")}
    found = json.loads(in_process(SCANNING, str(tmp_path / "here"), told))
    assert found["episodes"] == 5
    assert found["source"] == {"name": "gr1", "path": f"lab/gr1@{COMMIT['main']}"}
    assert found["sound"] is True


SCANNING = """
import json, sys
from typer.testing import CliRunner
from flows.cli import app
from tasks.dataset import given_dataset
from tasks.plan import scan_demonstrations
from tasks.stage import RunContext, commit_once, open_artifacts
run = RunContext(store_uri=sys.argv[1] + "/store", cache=sys.argv[1] + "/cache")
manifest, _ = commit_once(scan_demonstrations, run, scan_demonstrations.declare(run, given_dataset("lab/gr1", None)))
source = open_artifacts(run).run_record(manifest)["provenance"]["dataset"]
doctor = CliRunner().invoke(app, ["doctor", "--json", "lab/gr1"])
print(json.dumps({"episodes": manifest.summary["episodes"], "source": {key: source[key] for key in ("name", "path")},
                  "sound": json.loads(doctor.output)["sound"]}))
"""


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
