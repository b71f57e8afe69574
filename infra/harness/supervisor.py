"""Runs the planned episodes to completion: server and players as processes, restarted until nothing is missing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

import yaml

from dualvla_core.errors import UserError
from dualvla_core.evaluation.config import RolloutConfig
from dualvla_core.evaluation.policy import PolicyError
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.simulation.scenes import SuiteName
from infra.harness.finished import FinishedEpisodes, NoFinishedEpisodes, pack, unpack
from infra.harness.interpreter import interpreter_of
from infra.harness.job import Crew, PolicySpec, ServerJob, ServerReady
from infra.harness.recording import RUN, Episode, Recording
from infra.harness.results import import_recording, protocol_of

BENCHMARKS: dict[SuiteName, str] = {
    "metaworld": "infra.harness.benchmark:MetaWorldBenchmark",
    "simpler_env": "infra.harness.benchmark:SimulationBenchmark",
    "simpler_original": "infra.harness.benchmark:OriginalBenchmark",
}
"""The benchmark class by its name in the configuration."""

LOAD_TIMEOUT_S = 600.0
DECISION_TIMEOUT_S = 120.0
STALL_TIMEOUT_S = 300.0
"""A player that makes no step for so long is ended and its episode played again (s)."""

_NOTHING_KEPT = NoFinishedEpisodes()
_POLL_S = 0.1
_NAMED = 3  # unfinished episodes an error message names

CREW = Crew()

Process: TypeAlias = "subprocess.Popen[bytes]"


class IncompleteRolloutsError(UserError):
    """Planned episodes that could not be played to their end; without them there is no success rate."""


def run_rollouts(
    config: RolloutConfig,
    policy: PolicySpec,
    output: Path,
    timings: Path,
    *,
    work: Path,
    crew: Crew = CREW,
    progress: Progress = silent,
    kept: FinishedEpisodes = _NOTHING_KEPT,
) -> Summary:
    """Play every planned episode with the policy; write rollouts, steps, frames and protocol, and latencies apart.

    An episode that could not be played to its end (the policy or the simulator raised, a process died) is not a failure
    of the policy: it is played again, and as long as one is missing there is no result. Whatever was finished stays in
    ``work`` and is not played again by another call with the same arguments.

    Args:
        config: the trials, and what is kept of them.
        policy: the policy to play.
        output: an empty folder; two calls write the same bytes.
        timings: a folder for what two calls would not.
        work: folder of the recording; new, or left by an interrupted call.
        crew: players, servers and rounds.
        progress: told the number of finished episodes.
        kept: where each episode is saved as soon as it is finished, and found again by a call with an empty ``work``.

    Returns:
        The number of episodes, and success rates with 95 % Wilson intervals, overall and per task (see `summarise`).

    Raises:
        IncompleteRolloutsError: naming the episodes that are missing after the last round.
        DependencyError: when the simulator is not installed.
        PolicyError: when the policy cannot be loaded.
        ArtifactError: when ``work`` belongs to another configuration or policy.
    """
    protocol = protocol_of(config)  # it says what the simulator lacks before anything is begun
    recording = Recording(work.resolve(), config, policy)
    saved: set[Episode] = set()
    for found in map(unpack, kept.load()):
        recording.restore(found)
        saved.add((found.task, config.first_seed + found.number))
    for _ in range(crew.rounds):
        if not recording.unfinished():
            break
        recording.requeue()
        _play(recording, policy, crew, progress, lambda: _save_new(recording, kept, saved))
    missing = recording.unfinished()
    if missing:
        raise IncompleteRolloutsError(_tell(missing, recording))
    progress(len(config.episodes), len(config.episodes))
    return import_recording(recording, protocol, policy.policy_type, output, timings)


def _save_new(recording: Recording, kept: FinishedEpisodes, saved: set[Episode]) -> int:
    """Save what was finished since the last call; how many episodes are finished."""
    finished = recording.finished()
    for episode in sorted(finished - saved):
        found = recording.export(episode)
        kept.save(found.name, pack(found))
    saved |= finished
    return len(finished)


def _play(recording: Recording, policy: PolicySpec, crew: Crew, progress: Progress, save: Callable[[], int]) -> None:
    """One round: until all players have ended or a server has died."""
    players = min(crew.players, len(recording.unfinished()))
    serving = min(players, crew.servers)
    sessions = -(-players // serving)
    job = ServerJob(policy=policy, execute=recording.config.execute, sessions=sessions, batch=crew.batch)
    with _servers(recording.folder, job, serving) as served, ExitStack() as stack:
        playing = []
        for index in range(players):
            settings = recording.folder / f"player{index}.yaml"
            _, port = served[index % serving]
            settings.write_text(yaml.safe_dump(_settings(recording, port)), encoding="utf-8")
            playing.append(stack.enter_context(_player(recording, settings, index, players)))
        told = -1
        while all(server.poll() is None for server, _ in served) and any(player.poll() is None for player in playing):
            finished = save()
            if finished > told:
                progress(finished, len(recording.config.episodes))
                told = finished
            time.sleep(_POLL_S)
        save()


def _settings(recording: Recording, port: int) -> dict[str, object]:
    config = recording.config
    return {
        "server": {"url": f"ws://127.0.0.1:{port}", "timeout": DECISION_TIMEOUT_S},
        "render": "cpu",
        "output_dir": str(recording.folder),
        "benchmarks": [
            {
                "benchmark": BENCHMARKS[config.benchmark],
                "name": config.benchmark,
                "episodes_per_task": config.episodes_per_task,
                "max_steps": config.max_steps,
                "params": {"config": config.model_dump(mode="json"), "frames": str(recording.frames)},
            }
        ],
    }


@contextmanager
def _servers(folder: Path, job: ServerJob, count: int) -> Iterator[list[tuple[Process, int]]]:
    """``count`` policy servers and their ports, once their policies are loaded."""
    with ExitStack() as stack:
        begun = [stack.enter_context(_server(folder, index, job)) for index in range(count)]
        yield [(server, _port(folder, index, server, job)) for index, server in enumerate(begun)]


@contextmanager
def _server(folder: Path, index: int, job: ServerJob) -> Iterator[Process]:
    """A policy server that loads its policies."""
    request, ready = folder / f"server{index}_job.json", _ready(folder, index)
    request.write_text(job.model_dump_json(), encoding="utf-8")
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "infra.harness.policy_server", str(request), str(ready)]
    with _process(command, folder / f"server{index}.log") as server:
        yield server


def _ready(folder: Path, index: int) -> Path:
    return folder / f"server{index}_ready.json"


def _port(folder: Path, index: int, server: Process, job: ServerJob) -> int:
    """The port of a policy server, once it listens. Raises `PolicyError` when it could not load the policy."""
    ready, deadline = _ready(folder, index), time.monotonic() + LOAD_TIMEOUT_S
    while not ready.exists() and server.poll() is None and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    answer = ServerReady.model_validate_json(ready.read_bytes()) if ready.exists() else ServerReady()
    if answer.port is None:
        reason = answer.error or _last_line(folder / f"server{index}.log")
        raise PolicyError(f"The policy {job.policy.factory!r} could not be loaded: {reason}")
    return answer.port


@contextmanager
def _player(recording: Recording, settings: Path, index: int, processes: int) -> Iterator[Process]:
    """A shard of ``vla-eval``: a process that takes episodes from the queue, in the interpreter of its simulator."""
    python = str(interpreter_of(recording.config.benchmark))
    command = [python, "-m", "infra.harness.player", "run", "--config", str(settings), "--no-docker"]
    command += ["--eval-id", RUN, "--shard-id", str(index), "--num-shards", str(processes)]
    with _process(command, recording.folder / f"player{index}.log") as player:
        yield player


@contextmanager
def _process(command: Sequence[str], log: Path) -> Iterator[Process]:
    """A process that ends with the block, or with this process, at the latest; what it says is appended to ``log``."""
    environment = {**os.environ, "VLA_EVAL_WATCHDOG_TIMEOUT_S": str(STALL_TIMEOUT_S)}
    with log.open("ab") as sink:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=sink, stderr=sink, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()


def _tell(missing: dict[Episode, str | None], recording: Recording) -> str:
    planned = len(recording.config.episodes)
    named = [f"{task}/{seed} ({error or 'not begun'})" for (task, seed), error in list(missing.items())[:_NAMED]]
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    if not any(missing.values()):
        more += f"; the players' last words: {_last_line(recording.folder / 'player0.log')!r}"
    return (
        f"{len(missing)} of {planned} planned episodes could not be played to their end, so there is no success rate: "
        f"{', '.join(named)}{more}; remove the cause and run again, finished episodes are kept."
    )


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "nothing was logged"
