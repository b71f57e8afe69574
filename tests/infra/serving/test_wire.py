from __future__ import annotations

import pickle

import msgpack
import numpy as np
import pytest

from infra.serving.wire import WireError, pack, unpack


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "int64", "bool"])
def test_arrays_come_back_as_they_were(dtype: str) -> None:
    array = np.arange(12).reshape(3, 4).astype(dtype)
    back = unpack(pack({"a": array, "n": array[0, 1], "text": "x", "deep": {"list": [1, 2.5]}}))
    np.testing.assert_array_equal(back["a"], array)
    assert back["a"].dtype == array.dtype
    assert back["n"] == array[0, 1]
    assert (back["text"], back["deep"]) == ("x", {"list": [1, 2.5]})


def test_the_frame_is_openpis() -> None:
    """An array is a map of these byte keys, whose data are its bytes in C order."""
    raw = msgpack.unpackb(pack(np.array([[1, 2]], np.uint8)))
    assert raw == {b"__ndarray__": True, b"data": b"\x01\x02", b"dtype": "|u1", b"shape": [1, 2]}


@pytest.mark.parametrize(
    "frame",
    [
        pickle.dumps({"a": 1}),
        b"\xc1",
        msgpack.packb({b"__ndarray__": True, b"data": b"abc", b"dtype": "<f4", b"shape": [1]}),
        msgpack.packb({b"__ndarray__": True, b"data": b"x" * 8, b"dtype": "|O", b"shape": [1]}),
        msgpack.packb({b"__ndarray__": True, b"data": b"x" * 8}),
    ],
)
def test_other_frames_are_refused(frame: bytes) -> None:
    with pytest.raises(WireError):
        unpack(frame)


def test_objects_are_not_sent() -> None:
    with pytest.raises(WireError, match="cannot be sent"):
        pack({"a": np.array([object()])})
