from __future__ import annotations

import cv2
import numpy as np
import pyarrow as pa
import pytest

from dualvla_core.episodes.jpeg import decode_jpeg


def encoded(shape: tuple[int, ...], quality: int = 95) -> bytes:
    image = np.random.default_rng(sum(shape)).integers(0, 256, shape, np.uint8)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


@pytest.mark.parametrize("quality", [50, 95, 100])
@pytest.mark.parametrize("shape", [(1, 1, 3), (13, 17, 3), (48, 64, 3), (33, 250, 3), (9, 16)])
def test_the_pixels_are_opencvs(shape: tuple[int, ...], quality: int) -> None:
    """Bit by bit: what was computed from OpenCV's stays what it is."""
    data = encoded(shape, quality)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    for image in (data, pa.py_buffer(data)):
        np.testing.assert_array_equal(decode_jpeg(image), expected)


def test_an_image_lives_on_and_may_be_written_to() -> None:
    data = encoded((48, 64, 3))
    first = decode_jpeg(data)
    before = first.copy()
    others = [decode_jpeg(encoded((48, 64, 3), quality)) for quality in (20, 30, 40)]
    np.testing.assert_array_equal(first, before)
    assert not any(np.shares_memory(first, other) for other in others)
    first[:] = 0


@pytest.mark.parametrize("spoil", [lambda data: b"", lambda data: b"no JPEG", lambda data: data[: len(data) // 2]])
def test_what_is_broken_is_refused(spoil: object) -> None:
    assert callable(spoil)
    with pytest.raises(ValueError, match=r"\w"):
        decode_jpeg(spoil(encoded((48, 64, 3))))
