"""Where SimplerEnv's assets and its software renderer lie, and whether the assets are the original ones.

``make simulator`` puts both under the Python environment; who sets ``MS_ASSET_DIR`` (mani-skill's own variable) or
``VK_ICD_FILENAMES`` (the Vulkan loader's) chooses others.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from dualvla_core.errors import DependencyError

_INSTALLED = Path(sys.prefix) / "share" / "dualvla"
INSTALLED_ASSETS = _INSTALLED / "simpler_env"
"""A folder as ``MS_ASSET_DIR`` names one: it holds ``data``."""
INSTALLED_DRIVER = _INSTALLED / "lavapipe" / "lvp_icd.json"
"""The Vulkan driver that renders on a CPU."""

REMEDY = "run `make simulator` (or `dualvla doctor --simulator --fix`)"
BRIDGE = Path("data") / "tasks" / "bridge_v2_real2sim_dataset"
ROBOT = Path("data") / "robots" / "widowx"
EGGPLANT = "widowx_put_eggplant_in_basket"

_SMALLEST_ORIGINAL = 1 << 20  # bytes; the tables and the eggplant are larger, what replaces them is far smaller
_TABLE, _SINK = BRIDGE / "stages" / "bridge_table_1_v1.glb", BRIDGE / "stages" / "bridge_table_1_v2.glb"
_EGGPLANT_MESH = BRIDGE / "custom" / "models" / "eggplant" / "textured.dae"


def asset_folder() -> Path:
    """The assets in use. Raises `DependencyError` when there are none."""
    folder = Path(os.environ.setdefault("MS_ASSET_DIR", str(INSTALLED_ASSETS)))
    missing = [part for part in (BRIDGE / "custom", BRIDGE / "real_inpainting", ROBOT) if not (folder / part).is_dir()]
    if missing:
        raise DependencyError(f"The assets of SimplerEnv are missing ({missing[0]} is not in {folder}); {REMEDY}.")
    return folder


def choose_driver() -> None:
    """Let Vulkan use the driver that was installed for it, where there is one; before SAPIEN is first imported."""
    if INSTALLED_DRIVER.exists():
        os.environ.setdefault("VK_ICD_FILENAMES", str(INSTALLED_DRIVER))


def has_stand_ins(tasks: Iterable[str]) -> bool:
    """Whether something in the scenes of these tasks is not SimplerEnv's own.

    Raises `DependencyError` without assets, and for the eggplant without its original mesh.
    """
    folder, tasks = asset_folder(), list(tasks)
    if EGGPLANT in tasks and not _original(folder / _EGGPLANT_MESH):
        raise DependencyError(
            f"The task {EGGPLANT} needs SimplerEnv's original eggplant ({_EGGPLANT_MESH.name} is not in {folder}); "
            f"unset DUALVLA_SIMPLER_ASSETS and {REMEDY}, or leave the task out."
        )
    return not all(_original(folder / (_SINK if task == EGGPLANT else _TABLE)) for task in tasks)


def _original(path: Path) -> bool:
    return path.is_file() and path.stat().st_size >= _SMALLEST_ORIGINAL
