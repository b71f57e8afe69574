"""Encoded images inside data files."""

from __future__ import annotations

import cv2
import numpy as np

from dualvla_core.episodes.video import Image
from dualvla_core.errors import EpisodeError


def decode_image(data: bytes, camera: str) -> Image:
    """A JPEG or PNG as ``[H, W, 3]`` RGB. Raises `EpisodeError` naming the camera when it is neither or broken."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) if data else None
    if image is None:
        raise EpisodeError(f"Camera {camera!r}: an image is neither PNG nor JPEG or is broken.", about="images")
    return np.asarray(image, np.uint8)
