from __future__ import annotations

from pathlib import Path

import pytest

from dualvla_core.errors import DependencyError
from infra import simulator
from infra.settings import Settings


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment with mani-skill and a driver, and without assets."""
    installed = tmp_path / "environment" / "simpler_env"
    driver = tmp_path / "driver.json"
    driver.touch()
    monkeypatch.setattr(simulator, "INSTALLED_ASSETS", installed)
    monkeypatch.setattr(simulator, "INSTALLED_DRIVER", driver)
    monkeypatch.setattr(simulator, "find_spec", lambda _: object())
    monkeypatch.delenv("MS_ASSET_DIR", raising=False)
    return installed


def test_assets_at_hand_are_linked_and_can_be_exchanged(place: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name / "data").mkdir(parents=True)
        simulator.install(Settings(simpler_assets=tmp_path / name))
        assert place.resolve() == tmp_path / name
    assert (tmp_path / "first" / "data").is_dir()


def test_a_folder_that_holds_no_assets_is_named(place: Path, tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match=r"DUALVLA_SIMPLER_ASSETS names .* no folder 'data'"):
        simulator.install(Settings(simpler_assets=tmp_path))
    assert not place.exists()


def test_a_download_that_fails_leaves_nothing_and_says_what_to_do(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator.sys, "executable", "false")
    with pytest.raises(
        DependencyError, match=r"'bridge_v2_real2sim' were not downloaded .* set DUALVLA_SIMPLER_ASSETS"
    ):
        simulator.install(Settings())
    assert not place.exists()


def test_a_driver_that_cannot_be_installed_is_one_sentence(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "install" / "lavapipe.sh"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\necho noise >&2\necho 'No such mirror; go online.' >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr(simulator, "__file__", str(tmp_path / "simulator.py"))
    monkeypatch.setattr(simulator, "INSTALLED_DRIVER", tmp_path / "nowhere" / "driver.json")
    monkeypatch.setattr(simulator, "_has_gpu", lambda: False)
    with pytest.raises(DependencyError, match=r"driver was not installed: No such mirror; go online\.$"):
        simulator.install(Settings())


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator, "find_spec", lambda _: None)
    for act in (simulator.check, lambda: simulator.install(Settings())):
        with pytest.raises(DependencyError, match="run `make simulator`"):
            act()
