"""Installs what SimplerEnv needs beside its package: a Vulkan driver for machines without a GPU, and assets."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from dualvla_core.errors import DependencyError
from dualvla_core.simulation.simpler_assets import (
    INSTALLED_ASSETS,
    INSTALLED_DRIVER,
    asset_folder,
    choose_driver,
    has_stand_ins,
)
from infra.settings import Settings

PROBE_TASK = "widowx_stack_cube"

_DOWNLOADS = ("bridge_v2_real2sim", "widowx250s")  # mani-skill's names for the scenes and the robot
_PROBE = """
from dualvla_core.simulation.simpler_env import SimplerEnvironment
environment = SimplerEnvironment({task!r}, 32)
environment.reset(0)
assert environment.observe().images["third_person"].std() > 1, "the image is blank"
environment.close()
"""


def install(settings: Settings) -> None:
    """Put driver and assets under the Python environment; what is there already is left.

    Raises `DependencyError` with one sentence on what is missing and how to get it.
    """
    _require_package()
    if not INSTALLED_DRIVER.exists() and not _has_gpu():
        script = Path(__file__).parent / "install" / "lavapipe.sh"
        found = subprocess.run([str(script), str(INSTALLED_DRIVER.parent)], capture_output=True, text=True, check=False)
        if found.returncode:
            raise DependencyError(f"The Vulkan driver was not installed: {_last_line(found.stderr)}")
    if settings.simpler_assets is not None:
        _link(settings.simpler_assets.expanduser().resolve())
    elif "MS_ASSET_DIR" not in os.environ and not INSTALLED_ASSETS.exists():
        _download(INSTALLED_ASSETS)


def check() -> str:
    """Render one image of one scene in a process of its own; what was found, in words.

    Raises `DependencyError` with one sentence on what is missing.
    """
    _require_package()
    stand_ins = has_stand_ins([PROBE_TASK])
    choose_driver()
    probe = [sys.executable, "-c", _PROBE.format(task=PROBE_TASK)]
    found = subprocess.run(probe, capture_output=True, text=True, check=False)
    if found.returncode:
        raise DependencyError(f"SimplerEnv cannot render here: {_last_line(found.stderr)}")
    kind = "with stand-ins for some objects: no score counts as SimplerEnv's" if stand_ins else "the original ones"
    return f"SimplerEnv renders here; assets in {asset_folder()}, {kind}."


def _require_package() -> None:
    if find_spec("mani_skill") is None:
        raise DependencyError(
            "SimplerEnv needs mani-skill: run `make simulator`, or `pip install 'dualvla[simpler]'` and then "
            "`dualvla doctor --simulator --fix`."
        )


def _has_gpu() -> bool:
    import torch  # noqa: PLC0415 - takes seconds

    return bool(torch.cuda.is_available())


def _link(folder: Path) -> None:
    if not (folder / "data").is_dir():
        raise DependencyError(
            f"DUALVLA_SIMPLER_ASSETS names {folder}, which has no folder 'data'; name a folder as mani-skill's "
            "downloader fills it."
        )
    if INSTALLED_ASSETS.is_symlink():
        INSTALLED_ASSETS.unlink()
    elif INSTALLED_ASSETS.exists():
        shutil.rmtree(INSTALLED_ASSETS)
    INSTALLED_ASSETS.parent.mkdir(parents=True, exist_ok=True)
    INSTALLED_ASSETS.symlink_to(folder, target_is_directory=True)


def _download(folder: Path) -> None:
    """Through mani-skill's own downloader, which checks what it gets; nothing is left of an attempt that failed."""
    draft = folder.with_suffix(".tmp")
    shutil.rmtree(draft, ignore_errors=True)
    environment = {**os.environ, "MS_ASSET_DIR": str(draft), "MS_SKIP_ASSET_DOWNLOAD_PROMPT": "1"}
    for name in _DOWNLOADS:
        command = [sys.executable, "-m", "mani_skill.utils.download_asset", name, "-y"]
        found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if found.returncode:
            raise DependencyError(
                f"The assets {name!r} were not downloaded ({_last_line(found.stderr)}); set DUALVLA_SIMPLER_ASSETS to "
                "a folder that holds them, or run this again online."
            )
    draft.rename(folder)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].removeprefix("dualvla_core.errors.DependencyError: ") if lines else "nothing was said"
