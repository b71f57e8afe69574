"""Checkpoints of the policy: one folder that holds everything needed to act.

``config.json`` (model configuration, embodiment, cameras, policy type), ``backbone/config.json`` (transformers'),
``model.safetensors``, the tokenizer's files, ``statistics.json``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils.hub import cached_file

from dualvla_core.errors import ArtifactError
from dualvla_core.models.backbone import build_backbone, load_backbone_config
from dualvla_core.models.config import ModelConfig

if TYPE_CHECKING:
    from dualvla_core.models.dualvla import DualVLA

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
FORMAT = 2
_TINY_ONLY = 1  # an older format, of tiny backbones with flow heads alone
CONFIG_FILE, WEIGHTS_FILE, STATISTICS_FILE, BACKBONE_FOLDER = (
    "config.json",
    "model.safetensors",
    "statistics.json",
    "backbone",
)
FILES = (CONFIG_FILE, WEIGHTS_FILE, STATISTICS_FILE, *_TOKENIZER_FILES, f"{BACKBONE_FOLDER}/{CONFIG_FILE}")
"""Everything a policy is made of, relative to its folder."""


def save(policy: DualVLA, folder: Path) -> None:
    """Write ``policy`` into ``folder``, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    policy.tokenizer.save_pretrained(str(folder))
    policy.backbone.config.save_pretrained(str(folder / BACKBONE_FOLDER))
    weights, first = policy.state_dict(), _first_names(policy)
    save_file({name: weights[name].contiguous() for name in dict.fromkeys(first.values())}, folder / WEIGHTS_FILE)
    description = {
        "format": FORMAT,
        "policy_type": policy.policy_type,
        "embodiment": policy.embodiment,
        "cameras": policy.cameras,
        "model": policy.config.model_dump(mode="json"),
    }
    _write(folder / CONFIG_FILE, description)
    _write(folder / STATISTICS_FILE, policy.statistics)


def located(source: Path | str) -> Path:
    """The folder of a checkpoint: ``source`` itself, or that of ``owner/name`` in the hub's cache, fetched if need be.

    ``owner/name@revision`` is a branch, tag or commit. Raises `ArtifactError` when there is neither.
    """
    if Path(source).is_dir() or isinstance(source, Path):
        return Path(source)
    repository, _, revision = source.partition("@")
    try:
        files = [cached_file(repository, name, revision=revision or None) for name in FILES]
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"There is no folder {source!r} here, and the hub gave no checkpoint of that name "
            f"({str(error).splitlines()[0]}); correct it, or connect."
        ) from error
    return Path(str(files[0])).parent


def load(policy: type[DualVLA], folder: Path) -> DualVLA:
    """The policy saved in ``folder``, on the CPU, in evaluation mode.

    Raises `ArtifactError` when a file is missing or of another format, or the statistics lack the embodiment.
    """
    for name in (CONFIG_FILE, WEIGHTS_FILE, STATISTICS_FILE):
        if not (folder / name).is_file():
            raise ArtifactError(f"The checkpoint {folder.name} has no {name}; a policy cannot act without it.")
    description = json.loads((folder / CONFIG_FILE).read_text())
    older = description.get("format") == _TINY_ONLY
    if older:
        description = _migrated(description)
    if description.get("format") != FORMAT:
        raise ArtifactError(
            f"The checkpoint {folder.name} is of format {description.get('format')}, expected {FORMAT}; "
            "load it with the version that wrote it."
        )
    try:
        config = ModelConfig.model_validate(description["model"])
    except ValidationError as error:
        raise ArtifactError(f"The {CONFIG_FILE} of checkpoint {folder.name} does not fit: {error}.") from error
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(folder))
    loaded = policy(
        config,
        tokenizer,
        json.loads((folder / STATISTICS_FILE).read_text()),
        embodiment=description["embodiment"],
        cameras=description["cameras"],
        policy_type=description["policy_type"],
        backbone=build_backbone(load_backbone_config(str(folder / BACKBONE_FOLDER))),
    )
    weights = load_file(folder / WEIGHTS_FILE)
    if older:
        weights = _renamed(weights)
    loaded.load_state_dict({name: weights[first] for name, first in _first_names(loaded).items() if first in weights})
    return loaded.eval()


def _first_names(policy: DualVLA) -> dict[str, str]:
    """Each name of a weight, and the first name of the same weight: tied ones have several, and are stored once."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(weight), name) for name, weight in policy.state_dict(keep_vars=True).items()}


def _migrated(description: dict[str, Any]) -> dict[str, Any]:
    """A description of format 1 as one of today."""
    model = dict(description["model"])
    sizes = model.pop("tiny_backbone", {})
    model["backbone"] = {"family": model.get("backbone", "tiny"), "tiny": sizes}
    return description | {"format": FORMAT, "model": model}


def _renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of format 1 under the names of today."""
    names = {}
    for name in weights:
        part = name.removeprefix("flow.")
        condition = part.startswith(("visual_in.", "latent_in.", "latent_position", "state_in."))
        names[name] = name if part == name else f"action_head.{'inputs.' * condition}{part}"
    return {names[name]: weight for name, weight in weights.items()}


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
