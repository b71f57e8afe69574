"""Reads the normalisation statistics back into rows a table can show."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import Field, TypeAdapter, ValidationError

from dualvla_core.errors import ArtifactError
from dualvla_core.params import Params
from dualvla_core.report.model import StatisticsRow


class _Feature(Params):
    """One signal's statistics as ``statistics.json`` writes them: one number per dimension."""

    mean: list[float | None]
    std: list[float | None]
    minimum: list[float | None] = Field(alias="min")
    maximum: list[float | None] = Field(alias="max")
    q01: list[float | None]
    q99: list[float | None]
    mask: list[bool]


class _Embodiment(Params):
    """The statistics of one embodiment."""

    action: _Feature | None = None
    state: _Feature | None = None
    num_transitions: int
    num_trajectories: int


_FILE = TypeAdapter(dict[str, _Embodiment])


def read_statistics(folder: Path) -> tuple[StatisticsRow, ...]:
    """One row per embodiment, signal and dimension of ``statistics.json``.

    Raises:
        ArtifactError: if the file is missing or of another layout.
    """
    path = folder / "statistics.json"
    try:
        embodiments = _FILE.validate_python(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ArtifactError(f"statistics.json is missing from {folder.name!r}; compute the statistics first.") from None
    except (ValueError, ValidationError) as error:
        detail = " ".join(str(error).split())
        raise ArtifactError(f"statistics.json cannot be read ({detail}); compute the statistics again.") from error
    rows: list[StatisticsRow] = []
    for name, embodiment in embodiments.items():
        for feature, values in (("action", embodiment.action), ("state", embodiment.state)):
            if values is not None:
                rows.extend(_rows(name, feature, values))
    return tuple(rows)


def _rows(embodiment: str, feature: str, values: _Feature) -> list[StatisticsRow]:
    columns = zip(
        values.mean, values.std, values.minimum, values.maximum, values.q01, values.q99, values.mask, strict=True
    )
    return [
        StatisticsRow(
            embodiment=embodiment,
            feature=feature,
            dimension=dimension,
            mean=mean,
            std=std,
            minimum=low,
            maximum=high,
            q01=q01,
            q99=q99,
            normalised=normalised,
        )
        for dimension, (mean, std, low, high, q01, q99, normalised) in enumerate(columns)
    ]
