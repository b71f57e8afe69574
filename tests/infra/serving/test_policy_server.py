from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
import torch
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from dualvla_core.models import DualVLA
from dualvla_core.models.inference import InferenceConfig
from dualvla_core.models.policy import ModelPolicy
from infra.serving import policy_server
from infra.serving.policy_server import PolicyServer, ServerLimits
from infra.serving.wire import WireError, pack, unpack

Talk = Callable[[str], Awaitable[None]]


def message(seed: int | None = None, **changes: Any) -> dict[str, Any]:
    images = {camera: np.full((40, 48, 3), 90, np.uint8) for camera in ("front", "wrist")}
    reset = {} if seed is None else {"reset": seed}
    return {"images": images, "prompt": "Open the drawer.", "state": np.full(7, 0.5), **reset, **changes}


def talk(server: PolicyServer, conversation: Talk) -> None:
    async def run() -> None:
        listening = await server.start("127.0.0.1", 0)
        async with listening:
            port = listening.sockets[0].getsockname()[1]
            await conversation(f"ws://127.0.0.1:{port}")

    asyncio.run(run())


async def ask(client: ClientConnection, observation: Any) -> Any:
    await client.send(pack(observation))
    answer = await client.recv()
    return answer if isinstance(answer, str) else unpack(answer)


def test_a_client_is_told_what_is_served_and_gets_actions(policy: DualVLA) -> None:
    async def conversation(uri: str) -> None:
        async with connect(uri, compression=None) as client:
            metadata = unpack(await client.recv())  # type: ignore[arg-type]
            assert metadata["cameras"] == ["front", "wrist"]
            assert (metadata["action_chunk"], metadata["action_size"], metadata["state_size"]) == (5, 4, 7)
            first, again = [await ask(client, message(seed=3)) for _ in range(2)]
            np.testing.assert_array_equal(first["actions"], again["actions"])
            assert set(first["server_timing"]) == {"reason_ms", "infer_ms"}
            direct = ModelPolicy(policy, InferenceConfig())
            direct.reset(3)
            seen: Any = {"images": message()["images"], "state": np.full(7, 0.5, np.float32)}
            np.testing.assert_array_equal(first["actions"], direct.act(seen, "Open the drawer.").actions)

    talk(PolicyServer(policy, InferenceConfig()), conversation)


def test_clients_that_ask_together_share_a_batch(policy: DualVLA, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    decide = policy_server.decide_together

    def counted(model: DualVLA, requests: Any) -> Any:
        sizes.append(len(requests))
        return decide(model, requests)

    monkeypatch.setattr(policy_server, "decide_together", counted)

    async def conversation(uri: str) -> None:
        async with connect(uri) as a, connect(uri) as b, connect(uri) as c, connect(uri) as d:
            clients = [a, b, c, d]
            for client in clients:
                await client.recv()
            alone = [await ask(client, message(seed=index)) for index, client in enumerate(clients)]
            sizes.clear()
            together = await asyncio.gather(*(ask(client, message(seed=index)) for index, client in enumerate(clients)))
            for one, other in zip(alone, together, strict=True):
                np.testing.assert_allclose(one["actions"], other["actions"], atol=1e-5)
        assert sum(sizes) == 4
        assert max(sizes) == 2  # no batch is larger than the limit

    talk(PolicyServer(policy, InferenceConfig(), ServerLimits(batch=2)), conversation)


@pytest.mark.parametrize(
    ("observation", "sentence"),
    [
        ({"prompt": "x"}, "no images"),
        (message(images={"front": np.zeros((4, 4, 3), np.uint8)}), "no image of 'wrist'"),
        (message(images={c: np.zeros((4, 4, 3), np.float32) for c in ("front", "wrist")}), "expected uint8"),
        (message(state=np.zeros(3)), "The state must be 7 finite numbers"),
        (message(state=np.full(7, np.nan)), "The state must be 7 finite numbers"),
        (message(prompt="word " * 500), "more than max_text_tokens"),
        ([1, 2], "no images"),
    ],
)
def test_a_bad_observation_is_a_sentence_and_the_next_one_is_answered(
    policy: DualVLA, observation: Any, sentence: str
) -> None:
    async def conversation(uri: str) -> None:
        async with connect(uri) as client:
            await client.recv()
            assert sentence in await ask(client, observation)
            assert (await ask(client, message()))["actions"].shape == (5, 4)

    talk(PolicyServer(policy, InferenceConfig()), conversation)


def test_one_robots_fault_stays_its_own(policy: DualVLA, monkeypatch: pytest.MonkeyPatch) -> None:
    decide = policy_server.decide_together

    def fragile(model: DualVLA, requests: Any) -> Any:
        if any(each.instruction == "Break." for each in requests):
            raise WireError("Broken.")
        return decide(model, requests)

    monkeypatch.setattr(policy_server, "decide_together", fragile)

    async def conversation(uri: str) -> None:
        async with connect(uri) as a, connect(uri) as b, connect(uri) as c:
            for client in (a, b, c):
                await client.recv()
            prompts = ["Open.", "Break.", "Reach."]
            answers = await asyncio.gather(
                *(ask(client, message(prompt=text)) for client, text in zip((a, b, c), prompts, strict=True))
            )
            assert answers[1] == "Broken."
            assert answers[0]["actions"].shape == answers[2]["actions"].shape == (5, 4)

    talk(PolicyServer(policy, InferenceConfig()), conversation)


def test_a_failure_inside_is_told_without_its_details(policy: DualVLA, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> torch.Tensor:
        raise RuntimeError("secret path")

    monkeypatch.setattr(policy, "act_after", broken)

    async def conversation(uri: str) -> None:
        async with connect(uri) as client:
            await client.recv()
            assert await ask(client, message()) == "The server failed to decide; its log says why."

    talk(PolicyServer(policy, InferenceConfig()), conversation)


def test_the_door(policy: DualVLA) -> None:
    async def conversation(uri: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(uri.rpartition(":")[2]))
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
        for headers in ({}, {"Authorization": "Api-Key wrong"}):
            with pytest.raises(InvalidStatus, match="401"):
                await connect(uri, additional_headers=headers)
        shown = {"Authorization": "Api-Key secret"}
        async with connect(uri, additional_headers=shown) as client:
            await client.recv()
            with pytest.raises(InvalidStatus, match="503"):
                await connect(uri, additional_headers=shown)
            await client.send(b"x" * 5000)
            with pytest.raises(ConnectionClosed, match="1009"):
                await client.recv()

    talk(PolicyServer(policy, InferenceConfig(), ServerLimits(frame_bytes=4096, clients=1), "secret"), conversation)
