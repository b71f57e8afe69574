"""Conversations about images in the JSON that LLaVA made common, with the images in a folder or a tar file."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from dualvla_core.errors import DatasetError, EpisodeError

CONVERSATIONS_FILE = "conversations.json"
IMAGE_FOLDER = "images"
IMAGE_TOKEN = "<image>"
SPLITS = ("train", "held_out")
_UNNAMED = "conversation"  # the category of a sample that has none
_SPEAKERS = {"human": "human", "user": "human", "gpt": "gpt", "assistant": "gpt"}


class Images(Protocol):
    """Encoded images by name."""

    def read(self, name: str) -> bytes:
        """The file's bytes. Raises `EpisodeError` when there is none of this name."""
        ...


class FolderImages:
    """Images in a folder, named relative to it or to the folder that holds it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> bytes:
        """See `Images.read`."""
        path = self._folder / name.removeprefix(f"{self._folder.name}/")
        if not path.resolve().is_relative_to(self._folder.resolve()):
            raise EpisodeError(f"the image {name!r} lies outside {self._folder.name}/")
        try:
            return path.read_bytes()
        except OSError:
            raise EpisodeError(f"the image {name!r} is missing") from None


class TarImages:
    """Images in an uncompressed tar, read in place; names are those of its members, with or without ``./``.

    Raises `DatasetError` when the file is no uncompressed tar.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._tar = tarfile.open(path, "r:")  # noqa: SIM115 - it stays open as long as images are read
            members = [member for member in self._tar if member.isfile()]
        except (OSError, tarfile.TarError) as error:
            raise DatasetError(f"{path.name} is no uncompressed tar of images; unpack or repack it.") from error
        self._members = {member.name.removeprefix("./"): member for member in members}

    def read(self, name: str) -> bytes:
        """See `Images.read`."""
        member = self._members.get(name.removeprefix("./"))
        stream = None if member is None else self._tar.extractfile(member)
        if stream is None:
            raise EpisodeError(f"the image {name!r} is missing")
        try:
            return stream.read()
        except (OSError, tarfile.TarError) as error:
            raise EpisodeError(f"the image {name!r} is cut short in the tar") from error


def conversation_files(source: Path, images: Path | None) -> tuple[Path, Path]:
    """The JSON file and the place of its images: ``source`` is the file, or a folder that holds ``conversations.json``.

    Without ``images`` they are in the folder ``images`` beside the JSON.
    """
    conversations = source / CONVERSATIONS_FILE if source.is_dir() else source
    return conversations, images or conversations.parent / IMAGE_FOLDER


def open_images(place: Path) -> Images:
    """The images in a folder or tar. Raises `DatasetError` when there is neither."""
    if place.is_file():
        return TarImages(place)
    if not place.is_dir():
        raise DatasetError(f"There is no folder or tar of images {place}; give it as dataset.multimodal_images.")
    return FolderImages(place)


def read_conversations(path: Path) -> list[Any]:
    """The samples. Raises `DatasetError` when the file is missing or no list."""
    try:
        items = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DatasetError(
            f"There is no {path.name} in {path.parent.name}; expected a list of conversations."
        ) from None
    except ValueError as error:
        raise DatasetError(f"{path.name} is not JSON ({error}); expected a list of conversations.") from error
    if not isinstance(items, list):
        raise DatasetError(f"{path.name} holds a {type(items).__name__}; expected a list of conversations.")
    return items


def rows_of(item: Any, position: int, images: Images, splits: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The questions of a sample as rows of `schemas.MULTIMODAL`, their image as it is stored.

    ``id``, ``category`` and ``split`` may be absent: the position, a common name, and what ``splits`` says of the image
    serve then, so that no image is in both splits. The second question of a conversation is called ``<id>#2``, and so
    on.

    Raises `EpisodeError` saying what is wrong with the sample.
    """
    if not isinstance(item, dict):
        raise EpisodeError(f"the sample is a {type(item).__name__}, expected an object")
    if "image" not in item:
        raise EpisodeError("the sample has no image")
    image = item["image"]
    named = {
        "id": item.get("id", str(position)),
        "image": image,
        "category": item.get("category", _UNNAMED),
        "split": item.get("split", splits.get(str(image))),
    }
    wrong = [key for key, value in named.items() if not (isinstance(value, str | int) and str(value))]
    if wrong:
        raise EpisodeError(f"{', '.join(wrong)} should be text and not empty")
    if named["split"] not in SPLITS:
        raise EpisodeError(f"the split is {named['split']!r}, expected one of {', '.join(SPLITS)}")
    turns = _turns(item.get("conversations"))
    encoded = images.read(str(image))
    for number, (question, answer) in enumerate(turns, start=1):
        yield {
            "sample": str(named["id"]) + (f"#{number}" if number > 1 else ""),
            "image": encoded,
            "question": question,
            "answer": answer,
            "category": str(named["category"]),
            "split": named["split"],
        }


def _turns(turns: Any) -> list[tuple[str, str]]:
    """Questions with their answers."""
    listed = [turn if isinstance(turn, dict) else {} for turn in turns] if isinstance(turns, list) else []
    speakers = [_SPEAKERS.get(str(turn.get("from"))) for turn in listed]
    if not speakers or speakers != ["human", "gpt"] * (len(speakers) // 2):
        found = [turn.get("from") for turn in listed]
        raise EpisodeError(f"the conversation goes {found}, expected human and gpt by turns")
    texts = [str(turn.get("value") or "").replace(IMAGE_TOKEN, "").strip() for turn in listed]
    if not all(texts):
        raise EpisodeError("a question or an answer is empty")
    return list(zip(texts[::2], texts[1::2], strict=True))
