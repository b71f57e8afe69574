"""Starts the processes of a training: an agent of torchrun on this machine, and one on each other of a hostfile.

The first machine is this one. It is rank 0's, which alone speaks to the object store, so ranks are given out in the
order of the file (torchrun's static rendezvous; its c10d rendezvous would number machines as it likes).
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

from dualvla_core.errors import ConfigError
from dualvla_core.training.config import TrainingExecution

_ROOT = Path(__file__).parent.parent
_GRACE_S = 20.0
_WATCH_S = 0.5
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**30)}
"""Settings of glibc (the highest it takes) by which a step's memory serves the next one; it maps it anew otherwise."""
_FORWARDED = ("NCCL_", "GLOO_", "UCX_")  # settings of the network, which other machines need as well


class Host(NamedTuple):
    """A machine of a training."""

    name: str
    processes: int


class Launched(NamedTuple):
    """The agents of a training that runs."""

    lines: TextIO
    """What all of its processes say, until the last has ended."""
    agents: Sequence[subprocess.Popen[bytes]]

    def wait(self) -> int:
        """The exit code of the training, once it has ended: 0, or that of an agent that failed."""
        return next((code for code in [agent.wait() for agent in self.agents] if code), 0)


def hosts_of(execution: TrainingExecution) -> list[Host]:
    """The machines of a training, this one first. Raises `ConfigError` for a hostfile that names none, or nonsense."""
    if execution.hostfile is None:
        return [Host("localhost", execution.processes)]
    try:
        lines = execution.hostfile.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(
            f"The hostfile {execution.hostfile} cannot be read ({error.strerror}); correct execution.training.hostfile."
        ) from error
    said = [line.partition("#")[0].split() for line in lines]
    hosts = [_host(words, execution) for words in said if words]
    if not hosts:
        raise ConfigError(
            f"The hostfile {execution.hostfile} names no machine; write a line `name slots=processes` each."
        )
    return hosts


def processes_of(execution: TrainingExecution) -> int:
    """How many processes a training has, on all of its machines."""
    return sum(host.processes for host in hosts_of(execution))


def agent_commands(execution: TrainingExecution, description: Path) -> list[list[str]]:
    """The command of each machine's agent, in the order of the hostfile; those after the first go through a shell.

    Raises `ConfigError` where the first machine of the hostfile is not this one.
    """
    hosts = hosts_of(execution)
    worker = ["-m", "tasks.training_worker", str(description)]
    torchrun = [sys.executable, "-m", "torch.distributed.run"]
    if len(hosts) == 1:
        return [[*torchrun, "--standalone", f"--nproc_per_node={hosts[0].processes}", *worker]]
    meeting = [
        f"--nnodes={len(hosts)}",
        f"--master_addr={hosts[0].name}",
        f"--master_port={_port(hosts[0], execution)}",
    ]
    commands = []
    for rank, host in enumerate(hosts):
        command = [*torchrun, *meeting, f"--node_rank={rank}", f"--nproc_per_node={host.processes}", *worker]
        commands.append(_remotely(command, host, execution) if rank else command)
    return commands


def agent_environment(execution: TrainingExecution) -> dict[str, str]:
    """What the processes' environment says besides that of their machine."""
    known = os.environ.get("PYTHONPATH")
    return {
        **{name: os.environ.get(name, ours) for name, ours in _KEEP_MEMORY.items()},
        "OMP_NUM_THREADS": str(execution.threads),
        "PYTHONUNBUFFERED": "",  # they write to one pipe, where an unbuffered line goes out in pieces
        "PYTHONPATH": os.pathsep.join([str(_ROOT), *filter(None, [known])]),
    }


@contextmanager
def launched(execution: TrainingExecution, description: Path) -> Iterator[Launched]:
    """The processes of the training that ``description`` describes; none is left when the block ends."""
    commands = agent_commands(execution, description)
    environment = os.environ | agent_environment(execution)
    reading, writing = os.pipe()
    with os.fdopen(reading, encoding="utf-8", errors="replace") as lines:
        agents: list[subprocess.Popen[bytes]] = []
        try:
            try:
                agents += (_start(command, environment, writing) for command in commands)
            finally:
                os.close(writing)  # so that the lines end with the processes
            threading.Thread(target=_end_together, args=(agents,), daemon=True).start()
            yield Launched(lines, agents)
        finally:
            _end(agents)


def _host(words: Sequence[str], execution: TrainingExecution) -> Host:
    name, *others = words
    key, _, value = others[0].partition("=") if others else ("slots", "=", str(execution.processes))
    if len(others) > 1 or key != "slots" or not value.isdecimal() or not int(value):
        raise ConfigError(
            f"The hostfile {execution.hostfile} has the line {' '.join(words)!r}; expected `name slots=processes`."
        )
    return Host(name, int(value))


def _port(first: Host, execution: TrainingExecution) -> int:
    """A free port of this machine under the name that others know it by."""
    try:
        with socket.create_server((first.name, execution.port)) as server:
            port: int = server.getsockname()[1]
            return port
    except OSError as error:
        raise ConfigError(
            f"The first machine of the hostfile is {first.name!r}, but this one cannot listen there, port "
            f"{execution.port} ({error.strerror}); write the machine that runs the training first, or choose another "
            "execution.training.port."
        ) from error


def _remotely(command: Sequence[str], host: Host, execution: TrainingExecution) -> list[str]:
    network = {name: value for name, value in os.environ.items() if name.startswith(_FORWARDED)}
    settings = [f"{name}={value}" for name, value in (network | agent_environment(execution)).items()]
    shell = shlex.split(execution.remote_shell)
    if shutil.which(shell[0]) is None:
        raise ConfigError(
            f"The hostfile names other machines, but there is no program {shell[0]!r} to reach them by; install it, or "
            "set execution.training.remote_shell."
        )
    there = f"cd {shlex.quote(str(Path.cwd()))} && exec env {shlex.join([*settings, *command])}"
    return [*shell, host.name, there]


def _start(command: Sequence[str], environment: Mapping[str, str], output: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)


def _end_together(agents: Sequence[subprocess.Popen[bytes]]) -> None:
    """When one agent fails the others would wait for its machine: end them too."""
    running = list(agents)
    while running:
        for agent in running:
            try:
                agent.wait(_WATCH_S)
            except subprocess.TimeoutExpired:
                continue
            if agent.returncode:
                for other in agents:
                    other.terminate()
        running = [agent for agent in running if agent.returncode is None]


def _end(agents: Sequence[subprocess.Popen[bytes]]) -> None:
    for agent in agents:
        agent.terminate()
    for agent in agents:
        try:
            agent.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            agent.kill()
            agent.wait()
