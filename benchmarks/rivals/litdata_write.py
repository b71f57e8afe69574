"""The images and action chunks of a shard as litdata's chunks: python litdata_write.py SHARD FOLDER."""

from __future__ import annotations

import sys

import numpy as np
import pyarrow as pa
from litdata import optimize

table = pa.ipc.open_file(sys.argv[1]).read_all()
images, actions = table["image.front"], np.array(table["action"].to_pylist(), np.float32)


def sample(index: int) -> dict[str, object]:
    rows = np.arange(index, index + 16).clip(max=len(actions) - 1)
    return {"image": images[index].as_py(), "actions": actions[rows]}


if __name__ == "__main__":
    optimize(fn=sample, inputs=list(range(len(actions))), output_dir=sys.argv[2], chunk_bytes="64MB", num_workers=1)
