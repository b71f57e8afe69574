"""Kills things at random points of a run until nothing is left to kill, and checks what came of it."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psutil

from infra.artifact_store import ArtifactStore
from infra.object_store import StorageError, open_store
from infra.prefect.server import start_server
from infra.run_record import runs, uses
from infra.settings import Settings
from tests.e2e.conftest import CommandLine, Finished
from tests.seaweedfs import ACCESS_KEY, SECRET_KEY, S3Server

Victim = Literal["flow", "training", "s3", "prefect"]
EXIT_WITHIN_S = 300


@dataclass
class Site:
    """An object store and a Prefect server that can be killed, and machines with empty disks."""

    folder: Path
    s3: S3Server
    environment: dict[str, str]
    port: int = 0
    machines: int = 0
    server: subprocess.Popen[bytes] | None = None
    bucket: str = ""

    def start_prefect(self) -> None:
        settings = Settings(home=self.folder / "prefect", server_port=self.port)
        self.server, found = start_server(settings)
        self.port = int(found.ui_url.rpartition(":")[2])

    def kill_prefect(self) -> None:
        assert self.server is not None
        self.server.kill()
        self.server.wait()

    def machine(self) -> CommandLine:
        """`dualvla` on a machine that has never run it."""
        self.machines += 1
        extra = {
            "DUALVLA_STORE": f"s3://{self.bucket}/team",
            "DUALVLA_S3_ENDPOINT": self.s3.endpoint_url,
            "PREFECT_API_URL": f"http://127.0.0.1:{self.port}/api",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
            "PREFECT_CLIENT_MAX_RETRIES": "2",  # by default each request waits a minute for a server that is gone
        }
        return CommandLine(self.folder / f"machine {self.machines}", self.environment, extra)

    def store(self) -> ArtifactStore:
        return ArtifactStore(open_store(f"s3://{self.bucket}/team", self.s3.endpoint_url), self.folder / "looking")

    def committed(self) -> dict[str, str]:
        """Payload digest by artifact."""
        return {str(manifest.ref): manifest.digest for manifest in self.store().manifests()}


@dataclass
class Havoc:
    """Kills of one DAG, in an order and at points drawn from a seed."""

    site: Site
    command: tuple[str, ...]
    seed: int
    killed: Counter[Victim] = field(default_factory=Counter)
    told: list[tuple[Victim, str]] = field(default_factory=list)

    def wreak(self, *phases: list[Victim]) -> Finished:
        """Kill each victim once while the DAG is brought further; then let it finish, on one more machine.

        The victims of a phase come in an order drawn from the seed, the phases one after the other.
        """
        dice = random.Random(self.seed)
        for victims in phases:
            for victim in dice.sample(victims, len(victims)):
                self._kill_once(victim, dice)
        return self.site.machine()(*self.command)

    def _kill_once(self, victim: Victim, dice: random.Random) -> None:
        """Begin a run on a new machine and kill the victim; counted only where it was there to be killed."""
        process = self.site.machine().start(*self.command)
        assert process.stdout is not None
        process.stdout.readline()  # it has a server now, and is about to begin
        enough = len(self.site.committed()) + dice.choice((0, 0, 1))
        while process.poll() is None and len(self.site.committed()) < enough:
            time.sleep(0.05)
        self._await_training(victim, process)
        time.sleep(dice.uniform(0.0, 8.0 if victim == "training" else 3.0))
        self._await_training(victim, process)  # that one may have ended meanwhile
        if self._kill(victim, process):
            self.killed[victim] += 1
        try:
            _, errors = process.communicate(timeout=EXIT_WITHIN_S)
        finally:
            process.kill()
        if victim == "s3":
            self.site.s3.start()
        elif victim == "prefect":
            self.site.start_prefect()
        if victim != "flow":
            self.told.append((victim, errors))

    def _await_training(self, victim: Victim, process: subprocess.Popen[str]) -> None:
        """Wait until there is a training to kill, or none to come."""
        while victim == "training" and process.poll() is None and not self._training_of(process):
            time.sleep(0.1)

    def _kill(self, victim: Victim, process: subprocess.Popen[str]) -> bool:
        """Kill; False where the run was over and there was nothing left to disturb."""
        if process.poll() is not None and victim in {"flow", "training"}:
            return False
        if victim == "s3":
            self.site.s3.kill()
        elif victim == "prefect":
            self.site.kill_prefect()
        elif victim == "flow":
            process.kill()
        else:
            workers = self._training_of(process)
            for worker in workers:
                worker.send_signal(signal.SIGKILL)
            return bool(workers)
        return True

    def _training_of(self, process: subprocess.Popen[str]) -> list[psutil.Process]:
        try:
            children = psutil.Process(process.pid).children(recursive=True)
            # torchrun's own command line names the module too; it is killed with its workers
            return [child for child in children if "tasks.training_worker" in child.cmdline()]
        except psutil.Error:
            return []


def executions(site: Site) -> Counter[str]:
    """How often each committed artifact was made, over all runs."""
    store = site.store().objects
    return Counter(str(use.ref) for run in runs(store) for use in uses(store, run.id) if use.executed)


def reachable(site: Site) -> bool:
    """Whether the store answers."""
    try:
        site.store().objects.exists("x")
    except StorageError:
        return False
    return True
