# mypy: disable-error-code="import-untyped, no-any-return"
from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
from vla_eval.model_servers.base import SessionContext

from dualvla_core.evaluation.policy import PolicyError
from infra.harness.job import PolicySpec, ServerJob, ServerReady
from infra.harness.policy_server import PolicyServer


def observe(seed: int) -> dict[str, Any]:
    return {"images": {}, "state": np.zeros(3, np.float32), "task_description": "push", "seed": seed}


@pytest.fixture
def job(spec: Callable[..., PolicySpec]) -> ServerJob:
    return ServerJob(policy=spec(), execute=4, sessions=2)


@pytest.fixture
def server(job: ServerJob) -> PolicyServer:
    return PolicyServer(job)


def begin(session: str) -> SessionContext:
    return SessionContext(session_id=session, episode_id="e")


def test_an_answer_is_a_chunk_with_its_latency(server: PolicyServer) -> None:
    answer = server.predict(observe(3), begin("one"))
    assert answer["actions"].shape == (4, 4)
    assert answer["reasoning"] is None
    assert answer["latency_s"] >= 0


def test_sessions_do_not_disturb_one_another(server: PolicyServer) -> None:
    alone = begin("alone")
    expected = [server.predict(observe(3), alone)["actions"]]
    alone._increment_step()
    expected.append(server.predict(observe(3), alone)["actions"])
    one, other = begin("one"), begin("other")
    found = [server.predict(observe(3), one)["actions"]]
    server.predict(observe(9), other)
    one._increment_step()
    found.append(server.predict(observe(3), one)["actions"])
    assert np.array_equal(expected, found)


def test_each_episode_begins_with_its_own_seed(server: PolicyServer) -> None:
    first = server.predict(observe(3), begin("one"))["actions"]
    second = server.predict(observe(4), begin("one"))["actions"]
    again = server.predict(observe(3), begin("one"))["actions"]
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)


def test_chunks_shorter_than_what_is_executed_are_refused(job: ServerJob) -> None:
    with pytest.raises(PolicyError, match="expected 7 rows or more"):
        PolicyServer(job.model_copy(update={"execute": 7})).predict(observe(3), begin("one"))


@pytest.mark.parametrize(("batch", "faults"), [(2, 0), (3, 3)])
def test_whoever_asks_during_a_decision_shares_the_next_one(
    batch: int, faults: int, spec: Callable[..., PolicySpec], job: ServerJob
) -> None:
    """One asks alone, the others meet: two get what they would get alone, three all hear of the fault they share."""
    sharing = job.model_copy(update={"policy": spec("SharedPolicy"), "sessions": 4, "batch": batch})
    seeds = range(2 + bool(faults) + 1)
    answers: dict[int, Any] = {}

    async def ask(server: PolicyServer, seed: int) -> None:
        async def receive(answer: dict[str, Any]) -> None:
            answers[seed] = answer["actions"]

        context = begin(str(seed))
        context._send_action_fn = receive
        try:
            await server.on_observation(observe(seed), context)
        except ValueError as error:
            answers[seed] = str(error)

    async def play() -> None:
        server = PolicyServer(sharing)
        async with anyio.create_task_group() as serving:
            await server.on_serve_start(serving)
            async with anyio.create_task_group() as asking:
                asking.start_soon(ask, server, 0)
                await anyio.sleep(0.01)  # the first is being decided for
                for seed in seeds[1:]:
                    asking.start_soon(ask, server, seed)
            serving.cancel_scope.cancel()

    anyio.run(play)
    told = [answers[seed] for seed in seeds if isinstance(answers[seed], str)]
    assert told == ["3 are an odd company"] * faults
    alone = PolicyServer(job)
    for seed in seeds:
        if not isinstance(answers[seed], str):
            assert np.array_equal(answers[seed], alone.predict(observe(seed), begin(str(seed)))["actions"])


def test_a_server_ends_when_its_supervisor_does(job: ServerJob, tmp_path: Path) -> None:
    request, ready = tmp_path / "job.json", tmp_path / "ready.json"
    request.write_text(job.model_dump_json())
    command = [sys.executable, "-m", "infra.harness.policy_server", str(request), str(ready)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        try:
            while not ready.exists():
                assert server.poll() is None
                time.sleep(0.05)
            assert ServerReady.model_validate_json(ready.read_text()).port
            assert server.stdin is not None
            server.stdin.close()
            assert server.wait(timeout=60) == 0
        finally:
            server.kill()
