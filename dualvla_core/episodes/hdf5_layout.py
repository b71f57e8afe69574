"""Where robomimic (and LIBERO) and ALOHA keep the parts of an episode in an HDF5 file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import h5py

_INSTRUCTION_KEYS = ("language_instruction", "lang", "instruction")


@dataclass(frozen=True)
class Episode:
    """The parts of one episode: numeric columns ``[T, D]`` by our names, images by camera, and what is said of it."""

    columns: dict[str, h5py.Dataset]
    cameras: dict[str, h5py.Dataset]
    not_read: list[str]
    instruction: str
    task: str


@dataclass(frozen=True)
class Hdf5Layout:
    """One way to lay out demonstrations: which groups of a file are episodes, and what they consist of."""

    name: str
    groups: Callable[[h5py.File], list[str]]
    episode: Callable[[h5py.File, str], Episode]
    robot: Callable[[h5py.File], str | None]
    frame_rate: Callable[[h5py.File], float | None]


def layout_of(file: h5py.File) -> Hdf5Layout | None:
    """The layout of a file; None when it is neither."""
    if isinstance(file.get("data"), h5py.Group) and _robomimic_groups(file):
        return ROBOMIMIC
    if isinstance(file.get("observations/qpos"), h5py.Dataset):
        return ALOHA
    return None


def _robomimic_groups(file: h5py.File) -> list[str]:
    """``data/demo_0``, ``data/demo_1``, ..., by number: HDF5 lists demo_10 before demo_2."""
    found = [name for name in file["data"] if isinstance(file[f"data/{name}"], h5py.Group)]
    found = [name for name in found if isinstance(file.get(f"data/{name}/obs"), h5py.Group)]
    return sorted((f"data/{name}" for name in found), key=lambda name: [int(n) for n in re.findall(r"\d+", name)])


def _robomimic_episode(file: h5py.File, group: str) -> Episode:
    demo = file[group]
    columns, cameras, rest = _sorted_out({f"obs.{name}": part for name, part in demo["obs"].items()})
    if isinstance(demo.get("actions"), h5py.Dataset):
        columns["action"] = demo["actions"]
    data = file["data"]
    said = [_json_attribute(demo, "ep_meta"), dict(demo.attrs), _json_attribute(data, "problem_info"), dict(data.attrs)]
    instruction = _instruction(said)
    task = str(_json_attribute(data, "env_args").get("env_name") or instruction)
    return Episode(columns, cameras, rest, instruction, instruction or task)


def _robomimic_robot(file: h5py.File) -> str | None:
    robots = _json_attribute(file["data"], "env_args").get("env_kwargs", {}).get("robots")
    return str(robots[0]) if isinstance(robots, list) and robots else robots if isinstance(robots, str) else None


def _robomimic_rate(file: h5py.File) -> float | None:
    rate = _json_attribute(file["data"], "env_args").get("env_kwargs", {}).get("control_freq")
    return float(rate) if isinstance(rate, int | float) and rate > 0 else None


def _aloha_episode(file: h5py.File, _group: str) -> Episode:
    """``observations/qpos`` is what LeRobot calls observation.state: one ALOHA description reads both."""
    images = file.get("observations/images")
    _, cameras, rest = _sorted_out(dict(images.items()) if isinstance(images, h5py.Group) else {}, flat_images=True)
    columns = {"observation.state": file["observations/qpos"]}
    if isinstance(file.get("action"), h5py.Dataset):
        columns["action"] = file["action"]
    stored = {key: file[key][()] for key in _INSTRUCTION_KEYS if isinstance(file.get(key), h5py.Dataset)}
    instruction = _instruction([dict(file.attrs), stored])
    return Episode(columns, cameras, rest, instruction, instruction)


def _sorted_out(
    parts: dict[str, Any], flat_images: bool = False
) -> tuple[dict[str, h5py.Dataset], dict[str, h5py.Dataset], list[str]]:
    """Numeric columns, colour images, and the names of what is neither.

    With ``flat_images`` byte rows ``[T, N]`` are JPEG files, padded or of variable length.
    """
    columns, cameras, rest = {}, {}, []
    for name, part in sorted(parts.items()):
        if not isinstance(part, h5py.Dataset):
            rest.append(name)
        elif (part.ndim == 4 and part.shape[-1] == 3 and part.dtype == "uint8") or flat_images:
            cameras[name] = part
        elif part.ndim in (1, 2) and part.dtype.kind in "fiub":
            columns[name] = part
        else:
            rest.append(name)
    return columns, cameras, rest


def _instruction(places: list[dict[str, Any]]) -> str:
    """The first text under one of the known names; LIBERO writes some as lists of words or within quotes."""
    for found in places:
        for key in _INSTRUCTION_KEYS:
            text = _text(found.get(key)).strip().strip('"').strip()
            if text:
                return text
    return ""


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list | tuple):
        return " ".join(map(_text, value))
    return value if isinstance(value, str) else ""


def _json_attribute(group: h5py.Group, name: str) -> dict[str, Any]:
    try:
        found = json.loads(_text(group.attrs.get(name)) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


ROBOMIMIC = Hdf5Layout("robomimic", _robomimic_groups, _robomimic_episode, _robomimic_robot, _robomimic_rate)
ALOHA = Hdf5Layout("ALOHA", lambda _: ["/"], _aloha_episode, lambda _: "aloha", lambda _: None)


def images(stored: h5py.Dataset) -> Iterator[Any]:
    """The rows of an image dataset, read a few at a time: by chunks, or a compressed one would be unpacked again."""
    block = max(16, stored.chunks[0] if stored.chunks else 1)
    for start in range(0, len(stored), block):
        yield from stored[start : start + block]
