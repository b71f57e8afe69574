"""The folder a trained detector lies in: what it says about itself, and its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dualvla_core.errors import ArtifactError
from dualvla_core.params import Params

DETECTOR_FILE, WEIGHTS_FILE = "detector.json", "detector.safetensors"
FORMAT = 2


class Description(Params):
    """What every trained detector's folder says, as ``detector.json``."""

    format: int = Field(FORMAT, description="Version of this description.")


D = TypeVar("D", bound=Description)


def save_detector(folder: Path, description: Description, modules: Mapping[str, nn.Module]) -> None:
    """Write the ``description`` and the weights of the ``modules``, by name, into ``folder``."""
    tensors: dict[str, Tensor] = {
        f"{name}.{key}": tensor.contiguous()
        for name, module in modules.items()
        for key, tensor in module.state_dict().items()
    }
    save_file(tensors, folder / WEIGHTS_FILE)
    (folder / DETECTOR_FILE).write_text(json.dumps(description.model_dump(mode="json"), indent=1) + "\n")


def load_weights(folder: Path, modules: Mapping[str, nn.Module]) -> None:
    """Fill the ``modules``, by name, with the weights in ``folder``, and make them ready to score."""
    tensors = load_file(folder / WEIGHTS_FILE)
    for name, module in modules.items():
        prefix = f"{name}."
        module.load_state_dict(
            {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        )
        module.eval()


def read_description(folder: Path, kind: type[D]) -> D:
    """What the trained detector in ``folder`` says about itself.

    Raises `ArtifactError` when there is none of this kind.
    """
    if not (folder / DETECTOR_FILE).is_file() or not (folder / WEIGHTS_FILE).is_file():
        raise ArtifactError(
            f"There is no trained detector in {folder} ({DETECTOR_FILE}, {WEIGHTS_FILE}); make one with "
            "`dualvla events train` and name the folder it prints."
        )
    try:
        found = json.loads((folder / DETECTOR_FILE).read_text())
        if found.get("format") != FORMAT:
            raise ArtifactError(
                f"The detector in {folder} is of format {found.get('format')}, expected {FORMAT}; train it anew."
            )
        return kind.model_validate(found)
    except (json.JSONDecodeError, AttributeError, ValidationError) as error:
        raise ArtifactError(
            f"The {DETECTOR_FILE} in {folder} cannot be read as that of the configured detector; train that one anew."
        ) from error
