"""Embeddings of texts and images for retrieval: offline defaults, or CLIP from a folder or hub id."""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from dualvla_core.errors import ArtifactError, ConfigError
from dualvla_core.events.config import BackboneConfig
from dualvla_core.events.detector import require_torch

Floats: TypeAlias = npt.NDArray[np.float64]

_SIDE = 64  # px; images are compared at this size
_CELL, _DIRECTIONS = 8, 9  # px of a cell's side, and directions of edges told apart
_COLOUR_BINS = (8, 4, 4)  # hue, saturation, value
_CLIP = "clip:"


class TextEncoder(Protocol):
    """Turns texts into unit vectors ``[N, D]``."""

    def __call__(self, texts: Sequence[str]) -> Floats:
        """One row per text."""


class ImageEncoder(Protocol):
    """Turns an episode's JPEG images into one unit vector ``[D]``: the mean over the images."""

    def __call__(self, images: Sequence[bytes]) -> Floats:
        """The embedding of one episode."""


def text_encoder(name: str, corpus: Sequence[str]) -> TextEncoder:
    """The encoder of a configured name; ``corpus`` is what words are weighted by."""
    if name == "tfidf":
        return TfidfEncoder(corpus)
    if name.startswith(_CLIP):
        return functools.partial(_clip_texts, name.removeprefix(_CLIP))
    raise ConfigError(f"There is no text encoder {name!r}; choose tfidf, or clip:FOLDER_OR_HUB_ID.")


def image_encoder(name: str) -> ImageEncoder:
    """The encoder of a configured name."""
    if name == "colour-hog":
        return encode_colour_hog
    if name == "efficientnet-lite0":
        return _efficientnet()
    if name.startswith(_CLIP):
        return functools.partial(_clip_images, name.removeprefix(_CLIP))
    raise ConfigError(
        f"There is no image encoder {name!r}; choose colour-hog, efficientnet-lite0, or clip:FOLDER_OR_HUB_ID."
    )


class TfidfEncoder:
    """Term frequency times smoothed inverse document frequency over words and pairs of words."""

    def __init__(self, corpus: Sequence[str]) -> None:
        documents = [set(_terms(text)) for text in corpus]
        counts = Counter(term for document in documents for term in document)
        self._columns = {term: column for column, term in enumerate(sorted(counts))}
        rarity = [math.log((1 + len(corpus)) / (1 + counts[term])) + 1 for term in self._columns]
        self._weights = np.array(rarity)

    def __call__(self, texts: Sequence[str]) -> Floats:
        """See `TextEncoder`; a text without any known word is a zero vector."""
        found = np.zeros((len(texts), len(self._columns)))
        for row, text in enumerate(texts):
            for term, count in Counter(_terms(text)).items():
                if term in self._columns:
                    found[row, self._columns[term]] = count
        return _unit(found * self._weights)


def encode_colour_hog(images: Sequence[bytes]) -> Floats:
    """A histogram of colours and one of oriented gradients, each of unit length, averaged over the images."""
    return _mean([_describe(_decode(image)) for image in images])


def _terms(text: str) -> list[str]:
    words = re.findall(r"[^\W_]+", text.lower())
    return words + [f"{one} {other}" for one, other in pairwise(words)]


def _describe(image: npt.NDArray[np.uint8]) -> Floats:
    small = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    hsv = cv2.cvtColor(small, cv2.COLOR_BGR2HSV)
    colours = cv2.calcHist([hsv], [0, 1, 2], None, list(_COLOUR_BINS), [0, 180, 0, 256, 0, 256]).ravel()
    parts = [_unit(np.asarray(each, np.float64).reshape(1, -1))[0] for each in (np.sqrt(colours), _gradients(small))]
    return np.concatenate(parts)


def _gradients(image: npt.NDArray[Any]) -> Floats:
    """The strength of edges by cell and direction: oriented gradients (Dalal and Triggs 2005) without their blocks."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float64)
    vertical, horizontal = np.gradient(grey)
    way = (np.arctan2(vertical, horizontal) % np.pi / np.pi * _DIRECTIONS).astype(int) % _DIRECTIONS
    rows, columns = np.indices(grey.shape) // _CELL
    cells = (rows * (_SIDE // _CELL) + columns) * _DIRECTIONS + way
    strength = np.hypot(vertical, horizontal).ravel()
    found: Any = np.bincount(cells.ravel(), strength, minlength=(_SIDE // _CELL) ** 2 * _DIRECTIONS)
    return np.asarray(np.sqrt(found), np.float64)


def _efficientnet() -> ImageEncoder:
    """The coarsest features of EfficientNet-Lite0, with ImageNet weights from a Python package (extra ``train``)."""
    require_torch("efficientnet-lite0")
    from dualvla_core.events.backbones import Backbone  # noqa: PLC0415 - torch is an extra

    backbone = Backbone(BackboneConfig(grid=1))

    def encode(images: Sequence[bytes]) -> Floats:
        frames = [np.asarray(cv2.cvtColor(_decode(image), cv2.COLOR_BGR2RGB), np.uint8) for image in images]
        coarsest = backbone.describe(frames, range(len(frames)))[-1]
        return _mean(list(_unit(_array(coarsest))))

    return encode


def _clip_texts(path: str, texts: Sequence[str]) -> Floats:
    torch, model, processor = _clip(path)
    with torch.inference_mode():
        features = model.get_text_features(**processor(text=list(texts), return_tensors="pt", padding=True))
    return _unit(_array(features))


def _clip_images(path: str, images: Sequence[bytes]) -> Floats:
    torch, model, processor = _clip(path)
    pixels = [cv2.cvtColor(_decode(image), cv2.COLOR_BGR2RGB) for image in images]
    with torch.inference_mode():
        features = model.get_image_features(**processor(images=pixels, return_tensors="pt"))
    return _mean(list(_unit(_array(features))))


def _array(features: Any) -> Floats:
    """``[N, D]`` from what CLIP returns: a tensor, or an output that holds it pooled."""
    return np.asarray(getattr(features, "pooler_output", features).float().numpy(), np.float64)


@functools.cache
def _clip(path: str) -> tuple[Any, Any, Any]:
    try:
        import torch  # noqa: PLC0415 - only this encoder needs them
        from transformers import CLIPModel, CLIPProcessor  # noqa: PLC0415

        model: Any = CLIPModel.from_pretrained(path)
        return torch, model.eval(), CLIPProcessor.from_pretrained(path)
    except (ImportError, OSError, ValueError) as error:
        raise ConfigError(f"No CLIP model could be loaded from {path!r}: {str(error).splitlines()[0]}") from error


def _decode(jpeg: bytes) -> npt.NDArray[np.uint8]:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    if image is None:
        raise ArtifactError(f"A stored frame of {len(jpeg)} bytes is not a readable JPEG; run the rollouts again.")
    return np.asarray(image, np.uint8)


def _mean(rows: Sequence[Floats]) -> Floats:
    mean: Floats = _unit(np.mean(rows, axis=0)[None])[0]
    return mean


def _unit(rows: Floats) -> Floats:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    units: Floats = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    return units
