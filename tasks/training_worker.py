"""One process of a training, as torchrun starts it: ``python -m tasks.training_worker JOB.json``.

What it has to say to the launcher it prints as JSON, one event a line.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from dualvla_core.errors import UserError
from dualvla_core.params import Params, Summary
from dualvla_core.training.config import TrainingExecution
from dualvla_core.training.plan import TrainingPlan
from infra.lease import process_start
from infra.object_store import open_store
from infra.tracking import create_trackers
from tasks.training_checkpoints import ObjectCheckpoints

if TYPE_CHECKING:
    from dualvla_core.models.adaptation import PartSize

EVENT = "dualvla_training"
"""The key by which a line of a worker's output is known as meant for the launcher."""

_WATCH_S = 1.0
_GRACE_S = 20.0
_TELL_S = 0.2


class TrainingJob(Params):
    """What a worker process is told, as ``job.json``."""

    plan: TrainingPlan = Field(description="What to train.")
    execution: TrainingExecution = Field(description="With how many processes and threads.")
    output: Path = Field(description="Empty folder for the policy.")
    scratch: Path = Field(description="Folder for checkpoints on their way.")
    tracking: Path = Field(description="Folder of the trackers; it outlives the training.")
    store_uri: str = Field(description="Object store that keeps checkpoints.")
    s3_endpoint: str | None = Field(description="URL of an S3-compatible server; none = AWS.")
    key: str = Field(description="Key of the artifact in the making.")
    attempt: str = Field(description="Which attempt at it this is.")
    processes: int = Field(description="How many processes train, on all machines.")
    host: str = Field(description="The machine of the launcher.")
    launcher: int = Field(description="Process id of the launcher; when it is gone, the workers end.")
    launcher_started: float | None = Field(description="When it began, against reused numbers.")


def main(path: Path) -> int:
    """Train the job described in ``path``; 0 when all is well, else 1 after saying why."""
    job = TrainingJob.model_validate_json(path.read_text())
    if job.execution.niceness:
        _stand_back(job.execution.niceness)
    threading.Thread(target=_end_with_the_launcher, args=(job,), daemon=True).start()
    try:
        summary = _train(job)
    except UserError as error:
        _tell({"error": str(error)})
        return 1
    except Exception:  # noqa: BLE001 - whatever it is, the launcher shall hear of it
        _tell({"crash": traceback.format_exc()})
        return 1
    if summary:
        _tell({"summary": summary})
    return 0


def _train(job: TrainingJob) -> Summary:
    # imported here because it takes seconds, in which the launcher is watched already
    from dualvla_core.training.checkpoints import Checkpoints  # noqa: PLC0415
    from dualvla_core.training.engine import ProcessGroup  # noqa: PLC0415
    from dualvla_core.training.stage import train_policy  # noqa: PLC0415

    store = open_store(job.store_uri, job.s3_endpoint)
    kept = ObjectCheckpoints(store, job.key, job.attempt, job.processes, job.scratch)
    group = ProcessGroup(job.execution)
    trackers = create_trackers(job.execution.trackers, job.tracking) if group.rank == 0 else []
    checkpoints = Checkpoints(kept, job.execution.checkpoint_every, job.scratch)
    try:
        return train_policy(job.plan, group, checkpoints, job.output, _Teller(), trackers)
    finally:
        for tracker in trackers:
            tracker.close()
        group.close()


class _Teller:
    """Tells the launcher of the policy's parts, of steps (five times a second at most), and of the last one."""

    def __init__(self) -> None:
        self._next = 0.0

    def begins(self, parts: Sequence[PartSize]) -> None:
        """See `TrainingListener.begins`."""
        _tell({"parts": [dataclasses.asdict(part) for part in parts]})

    def stepped(self, done: int, total: int, samples_per_s: float, loss: float) -> None:
        """See `TrainingListener.stepped`."""
        if done == total or time.monotonic() >= self._next:
            self._next = time.monotonic() + _TELL_S
            _tell({"done": done, "total": total, "samples_per_s": round(samples_per_s, 2), "loss": loss})


def _tell(event: dict[str, Any]) -> None:
    sys.stdout.write(f"\n{json.dumps({EVENT: event})}\n")  # a library may have left its line unfinished
    sys.stdout.flush()


def _stand_back(niceness: int) -> None:
    """Lower this process's claim to processors; Linux may weigh sessions first, and torchrun gave each worker one."""
    os.nice(niceness)
    with contextlib.suppress(OSError):  # a kernel that weighs processes alone
        Path("/proc/self/autogroup").write_text(str(niceness))


def _end_with_the_launcher(job: TrainingJob) -> None:
    """However the launcher ended (even killed), nobody waits for the result any more: end torchrun and so this.

    On another machine it cannot be seen; there torchrun ends with the shell that the launcher started it by.
    """
    torchrun, near = os.getppid(), socket.gethostname() == job.host
    while os.getppid() == torchrun and not (near and process_start(job.launcher) != job.launcher_started):
        time.sleep(_WATCH_S)
    if os.getppid() == torchrun:
        os.kill(torchrun, signal.SIGTERM)
        time.sleep(_GRACE_S)
    os._exit(1)  # torchrun was killed as well, or did not end its workers


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
