"""Finished episodes, each as one piece of bytes that another machine can go on from."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

_FACTS, _FRAMES = "episode.json", "frames.arrow"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the bytes say nothing about when


class FinishedEpisode(NamedTuple):
    """One planned episode that was played to its end."""

    task: str
    number: int
    """Of the episode within its task."""
    session: str
    episode: str
    status: str
    metrics: dict[str, Any]
    steps: list[dict[str, Any]]
    frames: bytes
    """Arrow file of the moments kept."""

    @property
    def name(self) -> str:
        """A file name no other episode of the job has."""
        return f"{self.task}-{self.number:06d}"


class FinishedEpisodes(Protocol):
    """Where finished episodes are kept while others are still played."""

    def load(self) -> Iterator[bytes]:
        """Every episode that was saved, in any order."""

    def save(self, name: str, episode: bytes) -> None:
        """Keep one; saving a name again replaces it."""


class NoFinishedEpisodes:
    """Keeps nothing beside the work folder; implements `FinishedEpisodes`."""

    def load(self) -> Iterator[bytes]:
        """See `FinishedEpisodes.load`."""
        return iter(())

    def save(self, name: str, episode: bytes) -> None:
        """See `FinishedEpisodes.save`."""


def pack(episode: FinishedEpisode) -> bytes:
    """The episode as bytes."""
    facts = episode._asdict()
    frames = facts.pop("frames")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(_FACTS, _EPOCH), json.dumps(facts), zipfile.ZIP_DEFLATED)
        archive.writestr(zipfile.ZipInfo(_FRAMES, _EPOCH), frames)
    return buffer.getvalue()


def unpack(data: bytes) -> FinishedEpisode:
    """What `pack` made."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return FinishedEpisode(**json.loads(archive.read(_FACTS)), frames=archive.read(_FRAMES))
