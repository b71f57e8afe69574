"""Reading what transformers can load from a folder or the hub, with failures told in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from dualvla_core.errors import ConfigError

T = TypeVar("T")


def fetched(load: Callable[..., T], source: str, **options: object) -> T:
    """``load(source, **options)``, a ``from_pretrained`` of transformers.

    Raises `ConfigError` where the source is neither a folder of the right content nor to be had from the hub.
    """
    try:
        return load(source, **options)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"The backbone {source!r} cannot be loaded ({str(error).splitlines()[0]}); give a folder that holds it, or "
            "its hub id while the hub can be reached."
        ) from error
