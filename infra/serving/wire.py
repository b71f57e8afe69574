"""The frames of ``openpi-client``: msgpack, with NumPy arrays as marked maps. Nothing is ever unpickled."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np

from dualvla_core.errors import UserError

_NUMERIC = frozenset("biuf")


class WireError(UserError):
    """A frame that is no observation."""


def pack(message: Any) -> bytes:
    """``message`` of maps, lists, scalars, texts and numeric arrays as a frame."""
    packed: bytes = msgpack.packb(message, default=_packed)
    return packed


def unpack(frame: bytes | str) -> Any:
    """What `pack` or an openpi client packed. Raises `WireError` for anything else."""
    if isinstance(frame, str):
        raise WireError("A text was sent; expected a msgpack frame.")
    try:
        return msgpack.unpackb(frame, object_hook=_unpacked)
    except WireError:
        raise
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
        raise WireError(f"The frame is no msgpack message of arrays ({type(error).__name__}: {error}).") from error


def _packed(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype.kind in _NUMERIC:
        return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}
    if isinstance(value, np.generic) and value.dtype.kind in _NUMERIC:
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    raise WireError(f"A {type(value).__name__} cannot be sent; expected numbers, texts and numeric arrays.")


def _unpacked(value: dict[Any, Any]) -> Any:
    if b"__ndarray__" in value:
        return np.frombuffer(value[b"data"], _dtype(value)).reshape(value[b"shape"])
    if b"__npgeneric__" in value:
        return _dtype(value).type(value[b"data"])
    return value


def _dtype(value: dict[Any, Any]) -> np.dtype[Any]:
    dtype = np.dtype(str(value[b"dtype"]))
    if dtype.kind not in _NUMERIC:
        raise WireError(f"An array of type {dtype} was sent; expected numbers.")
    return dtype
