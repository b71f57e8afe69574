"""Samples per processor second and per second of litdata: python litdata_read.py FOLDER SECONDS."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator

import cv2
import numpy as np
from litdata import StreamingDataLoader, StreamingDataset

cv2.setNumThreads(1)


class Frames(StreamingDataset):
    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        sample = super().__getitem__(index)
        return cv2.imdecode(np.frombuffer(sample["image"], np.uint8), cv2.IMREAD_COLOR_RGB), sample["actions"]


loader = StreamingDataLoader(Frames(sys.argv[1], shuffle=True), batch_size=64, num_workers=0)


def batches() -> Iterator[list[object]]:
    while True:
        yield from loader


done, stream = 0, batches()
next(stream)
wall, cpu = time.perf_counter(), time.process_time()
while time.perf_counter() - wall < float(sys.argv[2]):
    done += len(next(stream)[0])
print(json.dumps([done / (time.process_time() - cpu), done / (time.perf_counter() - wall)]))
