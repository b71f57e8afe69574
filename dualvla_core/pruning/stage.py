"""From boundaries and kinematics of a segment to the decision table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dualvla_core.episodes.segment import Segment
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.pruning.config import PruningConfig
from dualvla_core.pruning.decide import SegmentEvidence, decide
from dualvla_core.pruning.inputs import read_aligned
from dualvla_core.schemas import BOUNDARIES, KINEMATICS, REASONING

DECISIONS_FILE = "decisions.parquet"


def prune_reasoning(
    params: PruningConfig,
    segment: Path,
    boundaries: Path,
    kinematics: Path,
    output: Path,
    progress: Progress = silent,
) -> Summary:
    """Write ``decisions.parquet`` (`schemas.DECISIONS`): which frames of ``segment`` keep their reasoning, and why.

    ``boundaries`` and ``kinematics`` are the folders that `detect_event_boundaries` and `compute_kinematics` wrote for
    the same segment. The summary counts frames and words before and after; its ratio is over all frames.

    Raises `ArtifactError` when the three are not about the same frames.
    """
    opened = Segment(segment)
    scores = read_aligned(boundaries / "boundaries.parquet", BOUNDARIES, opened)
    motion = read_aligned(kinematics / "kinematics.parquet", KINEMATICS, opened)
    acceleration = motion["acceleration"].combine_chunks()
    reasoning = [opened.signals(index).column("reasoning") for index in range(len(opened))]
    evidence = SegmentEvidence(
        episodes=opened.episodes["episode"].to_pylist(),
        lengths=opened.episodes["length"].to_numpy().astype(np.int64),
        fps=opened.episodes["fps"].to_numpy(),
        scores=scores["score"].to_numpy(),
        acceleration=acceleration.flatten().to_numpy().reshape(len(motion), len(opened.embodiment.arms)),
        gripper_flip=motion["gripper_flip"].to_numpy(),
        gripper_open=motion["gripper_open"].combine_chunks(),
        reasoning=pa.chunked_array(reasoning, REASONING).combine_chunks(),
    )
    decisions = decide(params, evidence)
    pq.write_table(decisions, output / DECISIONS_FILE, compression="zstd")
    progress(len(opened), len(opened))
    keep, words = decisions["keep"].to_numpy(), decisions["reasoning_words"].to_numpy()
    return {
        "frames": len(keep),
        "kept": int(keep.sum()),
        "retention_ratio": int(keep.sum()) / max(1, len(keep)),
        "words_before": int(words.sum()),
        "words_after": int(words[keep].sum()),
    }
