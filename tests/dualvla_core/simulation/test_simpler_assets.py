from __future__ import annotations

from pathlib import Path

import pytest

from dualvla_core.errors import ConfigError, DependencyError
from dualvla_core.evaluation.config import RolloutConfig
from dualvla_core.simulation.scenes import suite_name
from dualvla_core.simulation.simpler_assets import _EGGPLANT_MESH, _SINK, _TABLE, BRIDGE, EGGPLANT, ROBOT, has_stand_ins
from dualvla_core.simulation.suites import METAWORLD, SIMPLER_ENV

STACK = "widowx_stack_cube"
LARGE = 2 << 20


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as mani-skill's downloader fills it, with tables that are stand-ins."""
    for part in (BRIDGE / "custom" / "models" / "eggplant", BRIDGE / "real_inpainting", BRIDGE / "stages", ROBOT):
        (tmp_path / part).mkdir(parents=True)
    for table in (_TABLE, _SINK):
        (tmp_path / table).write_bytes(bytes(1248))
    monkeypatch.setenv("MS_ASSET_DIR", str(tmp_path))
    return tmp_path


def test_a_small_table_is_a_stand_in(assets: Path) -> None:
    assert has_stand_ins([STACK])
    assert SIMPLER_ENV.assets([STACK]) == {"stand_in_assets": True}
    (assets / _TABLE).write_bytes(bytes(LARGE))
    assert not has_stand_ins([STACK])


def test_the_eggplant_is_played_with_its_original_only(assets: Path) -> None:
    (assets / _TABLE).write_bytes(bytes(LARGE))
    with pytest.raises(DependencyError, match="original eggplant"):
        has_stand_ins([STACK, EGGPLANT])
    (assets / _EGGPLANT_MESH).write_bytes(bytes(LARGE))
    assert has_stand_ins([STACK, EGGPLANT])  # its table still is one
    (assets / _SINK).write_bytes(bytes(LARGE))
    assert not has_stand_ins([STACK, EGGPLANT])


def test_missing_assets_are_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MS_ASSET_DIR", str(tmp_path))
    with pytest.raises(DependencyError, match=r"custom is not in .*make simulator"):
        has_stand_ins([STACK])


def test_keys_of_the_other_simulator_hold_nothing_about_assets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MS_ASSET_DIR", str(tmp_path))
    assert METAWORLD.assets(["reach"]) == {}
    assert not METAWORLD.has_stand_ins(["reach"])


def test_tasks_of_two_simulators_are_not_mixed() -> None:
    assert suite_name(["reach", "door-open"]) == "metaworld"
    assert suite_name([STACK]) == "simpler_env"
    with pytest.raises(ConfigError, match="several simulators"):
        suite_name(["reach", STACK])
    with pytest.raises(ValueError, match="set benchmark=simpler_env"):
        RolloutConfig(tasks=(STACK,))
