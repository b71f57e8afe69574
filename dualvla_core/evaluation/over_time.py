"""How many of the planned episodes are solved at each moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from dualvla_core.evaluation.protocol import read_protocol
from dualvla_core.evaluation.tables import SOLVED, SOLVED_FILE
from dualvla_core.evaluation.trajectory import read_rollouts, read_table

Shares = npt.NDArray[np.float64]


def solved_over_time(folder: Path) -> dict[str, Shares] | None:
    """By task, the share of its episodes that count as solved after 0 .. T = ``max_steps`` control steps, ``[T + 1]``.

    It ends at the success rate. Where success is latched, or ends an episode, it never falls; where the last step
    decides (``final``), it is the share that is solved at that moment, and may.

    None for rollouts of an earlier version, which went on after success without noting when it came.

    Raises `ArtifactError` when the rollouts cannot be read.
    """
    protocol, rollouts = read_protocol(folder), read_rollouts(folder)
    moments = protocol.max_steps + 1
    if protocol.success_mode == "early_stop":
        steps, success = rollouts["steps"].to_numpy(), rollouts["success"].to_numpy()
        solved = success[:, None] & (np.arange(moments) >= steps[:, None])
    elif (folder / SOLVED_FILE).exists():
        solved = read_table(folder / SOLVED_FILE, SOLVED)["solved"].to_numpy().reshape(-1, moments)
        if protocol.success_mode == "latched":
            solved = np.logical_or.accumulate(solved, axis=1)
    else:
        return None
    tasks = np.asarray(rollouts["task"].to_pylist())
    return {task: solved[tasks == task].mean(axis=0) for task in protocol.tasks}
