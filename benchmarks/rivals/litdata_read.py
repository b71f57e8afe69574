"""A batch of litdata's for every line of input, and the processor seconds it took: python litdata_read.py FOLDER."""

from __future__ import annotations

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


stream = batches()
for _ in sys.stdin:
    start = time.process_time()
    next(stream)
    print(time.process_time() - start, flush=True)
