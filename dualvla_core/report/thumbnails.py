"""JPEG thumbnails as data URIs, so that the page needs no other file."""

from __future__ import annotations

import base64

import cv2
import numpy as np

from dualvla_core.errors import ArtifactError


def shrink(jpeg: bytes, height: int, quality: int) -> bytes:
    """The picture scaled down to at most ``height`` pixels, as JPEG; raises `ArtifactError` if it is no picture."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    if image is None:
        raise ArtifactError(f"A stored frame of {len(jpeg)} bytes is not a readable JPEG; decode the episode again.")
    if image.shape[0] > height:
        width = max(1, round(image.shape[1] * height / image.shape[0]))
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def data_uri(jpeg: bytes) -> str:
    """A ``data:`` address that holds the picture itself."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
