"""What makes a demonstration itself, wherever and in whatever layout it is stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa

from dualvla_core.episodes.canonical import TIME_STEP_S
from dualvla_core.episodes.embodiment import Embodiment

_WORDS_ABOUT = {"description", "robot_types", "axes"}  # fields of an embodiment that change no number


def episode_digest(
    signals: pa.Table, packets: Mapping[str, Iterable[tuple[float, bytes]]], embodiment: Embodiment
) -> str:
    """The identity of an episode: 32 hex digits that stay the same when its files are moved, merged or remuxed.

    Args:
        signals: the canonical episode (`schemas.SIGNALS`); its ``episode`` column is not looked at.
        packets: per camera the encoded packets in decoding order with seconds since the first shown frame.
        embodiment: how the numbers are read; its wording is not part of the identity.
    """
    digest = hashlib.sha256()

    def add(label: str, data: bytes) -> None:
        digest.update(f"{label} {len(data)}\n".encode())
        digest.update(data)

    # without defaults, so that a field that descriptions gain later changes no identity
    add("embodiment", _json(embodiment.model_dump(mode="json", exclude=_WORDS_ABOUT, exclude_defaults=True)))
    add("time", np.round(signals["timestamp"].to_numpy() / TIME_STEP_S).astype("<i8").tobytes())
    columns = ["state", "action"]
    if set(embodiment.observed) != {embodiment.state_column}:
        columns += ["ee_pose", "joints", "gripper"]  # they come from columns of their own
    for column in columns:
        values = signals[column].combine_chunks()
        add(column, b"" if values.null_count else values.flatten().to_numpy().astype("<f4").tobytes())
    add("instruction", _json(signals["instruction"].to_pylist()))
    add("reasoning", _json([_said(pieces) for pieces in signals["reasoning"].to_pylist()]))
    for camera in sorted(packets):
        add("camera", camera.encode())
        for seconds, data in packets[camera]:
            add(str(round(seconds / TIME_STEP_S)), data)
    return digest.hexdigest()[:32]


def _said(pieces: list[dict[str, str | None]] | None) -> list[dict[str, str]] | None:
    """A frame's reasoning without the questions that nobody asked."""
    if pieces is None:
        return None
    return [{name: text for name, text in piece.items() if text is not None} for piece in pieces]


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
