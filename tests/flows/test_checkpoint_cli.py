from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")

from dualvla_core.errors import ArtifactError, ConfigError  # noqa: E402
from dualvla_core.models import DualVLA  # noqa: E402
from flows.cli import app  # noqa: E402
from infra import hub  # noqa: E402
from tests.dualvla_core.models.conftest import signal  # noqa: E402
from tests.dualvla_core.models.tiny_families import family_config, make_policy  # noqa: E402

STATISTICS: dict[str, Any] = {"robot": {"action": signal(-2, 2, 4), "state": signal(0, 1, 7)}}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    policy = make_policy(family_config("internvl", None, language="lora", rank=2, dropout=0.0), STATISTICS)
    policy.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def test_an_adapter_is_merged_into_a_new_folder(checkpoint: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["checkpoint", "merge", str(checkpoint), str(tmp_path / "merged")])
    assert result.exit_code == 0, result.output
    merged = DualVLA.from_pretrained(tmp_path / "merged")
    assert merged.config.adaptation.language == "frozen"
    assert not [name for name, _ in merged.named_parameters() if "lora" in name]
    again = CliRunner().invoke(app, ["checkpoint", "merge", str(checkpoint), str(tmp_path / "merged")])
    assert isinstance(again.exception, ConfigError)


def test_a_policy_is_pushed_with_a_card_that_says_what_it_drives(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed: list[Any] = []

    def push(folder: Path, repository: str, card: str, *, private: bool) -> str:
        pushed.append((folder, repository, card, private))
        return "address"

    monkeypatch.setattr(hub, "push_checkpoint", push)
    result = CliRunner().invoke(app, ["checkpoint", "push", str(checkpoint), "owner/policy"])
    assert result.output == "address\n"
    ((folder, repository, card, private),) = pushed
    assert (folder, repository, private) == (checkpoint, "owner/policy", False)
    for text in ("| robot | robot |", "front, wrist", "action [4], state [7]", "| lora |", "3 queries, chunks of 5"):
        assert text in card
    assert "not recorded" in card


def test_a_checkpoint_of_another_robot_is_refused(checkpoint: Path) -> None:
    assert DualVLA.from_pretrained(checkpoint, embodiment="robot").embodiment == "robot"
    with pytest.raises(ArtifactError, match="drives 'robot', not 'other'"):
        DualVLA.from_pretrained(checkpoint, embodiment="other")


def test_a_name_the_hub_does_not_give_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> None:
        raise OSError("no connection")

    monkeypatch.setattr("dualvla_core.models.checkpoint.cached_file", offline)
    with pytest.raises(ArtifactError, match=r"no folder 'owner/policy' here, .* \(no connection\)"):
        DualVLA.from_pretrained("owner/policy")


def test_a_checkpoint_comes_out_of_the_hubs_cache(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def cached(repository: str, name: str, revision: str | None = None) -> str:
        asked.append(f"{repository}@{revision}:{name}")
        return str(checkpoint / name)

    monkeypatch.setattr("dualvla_core.models.checkpoint.cached_file", cached)
    assert DualVLA.from_pretrained("owner/policy").embodiment == "robot"
    assert "owner/policy@None:backbone/config.json" in asked
    assert DualVLA.from_pretrained("owner/policy@v2").embodiment == "robot"
    assert "owner/policy@v2:statistics.json" in asked
