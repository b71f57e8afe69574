"""A policy behind a websocket, in the wire format of ``openpi-client``; robots that ask at the same time share a batch.

A client receives the server's metadata, then an answer to each observation. Observations are maps with ``images``
(camera to RGB ``[H, W, 3]`` uint8), ``prompt``, ``state`` (``[S]``, raw units) and, to begin an episode, ``reset`` with
its seed. A text frame is an error, as openpi has it; the connection stays open.
"""

from __future__ import annotations

import asyncio
import hmac
import http
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response

from dualvla_core.errors import UserError
from dualvla_core.evaluation.policy import PolicyObservation
from dualvla_core.models.dualvla import DualVLA
from dualvla_core.models.inference import InferenceConfig, Request, Session, TimedDecision, decide_together
from infra.serving.wire import WireError, pack, unpack

LOG = logging.getLogger(__name__)

_Waiting: TypeAlias = tuple[Request, asyncio.Future[TimedDecision]]


@dataclass(frozen=True)
class ServerLimits:
    """What a server allows."""

    frame_bytes: int = 32 * 1024 * 1024
    """Largest frame a client may send."""
    clients: int = 64
    """Connections at once."""
    batch: int = 16
    """Largest number of robots decided for together."""


class PolicyServer:
    """Answers websocket clients with the decisions of ``model``.

    Args:
        model: the policy.
        config: how each session reasons.
        limits: sizes.
        token: what clients must show as ``Authorization: Api-Key TOKEN``; none = nothing.
    """

    def __init__(
        self,
        model: DualVLA,
        config: InferenceConfig,
        limits: ServerLimits | None = None,
        token: str | None = None,
    ) -> None:
        self._model = model.eval()
        self._config = config
        self._limits = limits or ServerLimits()
        self._token = token
        self._waiting: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._clients = 0

    async def start(self, host: str, port: int) -> Server:
        """Listen; the returned server's sockets say where, and its ``serve_forever`` runs it."""
        self._worker = asyncio.create_task(self._decide())
        return await serve(
            self._talk,
            host,
            port,
            process_request=self._admit,
            max_size=self._limits.frame_bytes,
            compression=None,
        )

    @property
    def metadata(self) -> dict[str, Any]:
        """What a client is told first."""
        model = self._model
        return {
            "embodiment": model.embodiment,
            "cameras": list(model.cameras),
            "policy_type": model.policy_type,
            "action_chunk": model.config.action_chunk,
            "action_size": model.action_normaliser.size,
            "state_size": 0 if model.state_normaliser is None else model.state_normaliser.size,
            "image_size": model.config.image_size,
        }

    def _admit(self, connection: ServerConnection, request: HttpRequest) -> Response | None:
        if request.path == "/healthz":
            return connection.respond(http.HTTPStatus.OK, "OK\n")
        if self._token is not None:
            shown = request.headers.get("Authorization", "")
            if not hmac.compare_digest(shown.encode(), f"Api-Key {self._token}".encode()):
                return connection.respond(http.HTTPStatus.UNAUTHORIZED, "Show the token: Authorization: Api-Key ...\n")
        if self._clients >= self._limits.clients:
            return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "Too many clients.\n")
        return None

    async def _talk(self, connection: ServerConnection) -> None:
        session = Session(self._config)
        self._clients += 1
        try:
            await connection.send(pack(self.metadata))
            async for frame in connection:
                await connection.send(await self._answer(frame, session))
        except ConnectionClosed:
            pass
        finally:
            self._clients -= 1

    async def _answer(self, frame: str | bytes, session: Session) -> bytes | str:
        """A frame of actions, or a text that says what is wrong."""
        try:
            message = unpack(frame)
            observation, instruction = self._read(message)
            if "reset" in message:
                session.reset(int(message["reset"]))
            future: asyncio.Future[TimedDecision] = asyncio.get_running_loop().create_future()
            await self._waiting.put((Request(session, observation, instruction), future))
            decision = await future
        except UserError as error:
            return str(error)
        except Exception:  # whatever it is, the client shall hear that it failed; the log holds why
            LOG.exception("A decision failed")
            return "The server failed to decide; its log says why."
        return pack(
            {
                "actions": decision.actions,
                "reasoning": decision.reasoning or "",
                "reasoning_tokens": decision.reasoning_tokens,
                "server_timing": {"reason_ms": 1000 * decision.reason_s, "infer_ms": 1000 * decision.act_s},
            }
        )

    def _read(self, message: Any) -> tuple[PolicyObservation, str]:
        """The observation and instruction of a message, checked before they meet those of others in a batch."""
        images = message.get("images") if isinstance(message, Mapping) else None
        prompt = message.get("prompt") if isinstance(message, Mapping) else None
        if not isinstance(images, Mapping) or not isinstance(prompt, str):
            raise WireError("The message has no images (a map) or no prompt (a text); send both, and the state.")
        known = {str(camera): np.asarray(image) for camera, image in images.items()}
        for camera in self._model.cameras:
            image = known.get(camera, known.get(camera.rpartition(".")[2]))
            if image is None:
                raise WireError(f"There is no image of {camera!r}, only of {sorted(known)}; send every camera's.")
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
                raise WireError(
                    f"The image of {camera!r} is {image.dtype} {list(image.shape)}; expected uint8 [H, W, 3]."
                )
        state = message.get("state")
        size = self.metadata["state_size"]
        if size and (not isinstance(state, np.ndarray) or state.shape != (size,) or not np.isfinite(state).all()):
            raise WireError(f"The state must be {size} finite numbers, as an array.")
        self._model.prompts.robot_turn(prompt, len(self._model.cameras))
        numbers = np.asarray(state, np.float32) if size else None
        return PolicyObservation(images=known, state=numbers), prompt

    async def _decide(self) -> None:
        """For ever: decide for everyone who waits, at most one request per session."""
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < self._limits.batch and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            try:
                requests = [request for request, _ in batch]
                decisions = await asyncio.to_thread(decide_together, self._model, requests)
            except Exception as error:  # noqa: BLE001 - whoever caused it is told
                await self._fail(batch, error)
                continue
            for (_, future), decision in zip(batch, decisions, strict=True):
                if not future.done():  # its client has gone
                    future.set_result(decision)

    async def _fail(self, batch: list[_Waiting], error: Exception) -> None:
        """Tell the one who waits; of several, decide for each alone, so that one robot's fault stays its own."""
        if len(batch) == 1:
            if not batch[0][1].done():
                batch[0][1].set_exception(error)
            return
        for each in batch:
            try:
                (decision,) = await asyncio.to_thread(decide_together, self._model, [each[0]])
            except Exception as own:  # noqa: BLE001 - see above
                await self._fail([each], own)
            else:
                if not each[1].done():
                    each[1].set_result(decision)


async def serve_policy(server: PolicyServer, host: str, port: int) -> None:
    """Serve until cancelled, and say where."""
    listening = await server.start(host, port)
    where = listening.sockets[0].getsockname()
    LOG.warning("Serving %s on ws://%s:%d (health: /healthz)", server.metadata["policy_type"], where[0], where[1])
    await listening.serve_forever()
