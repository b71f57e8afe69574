"""A local server that speaks the chat-completions protocol and misbehaves on request."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GOOD = {"Thought": "Fine.", "Result": {"Action": 8, "Intention": 7, "Reasoning": 6, "Alignment": 5}}


@dataclass
class Reply:
    """What the server does with one request."""

    content: Any = field(default_factory=lambda: GOOD)
    """The message; anything but a string is sent as JSON."""
    status: int = 200
    finish_reason: str = "stop"
    refusal: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """Sent as it is instead of a completion."""
    delay_s: float = 0.0
    drop: bool = False
    """Close the connection without a word."""
    code: str | None = None


@dataclass
class JudgeServer:
    """Answers with ``script`` first, then always with ``always``; keeps every request."""

    url: str
    script: list[Reply] = field(default_factory=list)
    always: Reply = field(default_factory=Reply)
    answer: Callable[[dict[str, Any]], Reply] | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    busy: int = 0
    most_busy: int = 0

    def reply_to(self, request: dict[str, Any], key: str) -> Reply:
        with self.lock:
            self.requests.append(request)
            self.keys.append(key)
            if self.answer is not None:
                return self.answer(request)
            return self.script.pop(0) if self.script else self.always


@contextmanager
def judge_server() -> Iterator[JudgeServer]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert self.path == "/v1/chat/completions"
            reply = state.reply_to(request, self.headers["Authorization"])
            with state.lock:
                state.busy += 1
                state.most_busy = max(state.most_busy, state.busy)
            time.sleep(reply.delay_s)
            with state.lock:
                state.busy -= 1
            if reply.drop:
                self.close_connection = True
                self.connection.close()
                return
            body = reply.body if reply.body is not None else json.dumps(_payload(reply, request)).encode()
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = JudgeServer(f"http://127.0.0.1:{server.server_address[1]}/v1")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _payload(reply: Reply, request: dict[str, Any]) -> dict[str, Any]:
    if reply.status != 200:
        return {"error": {"message": str(reply.content), "type": "error", "code": reply.code}}
    content = reply.content if isinstance(reply.content, str) else json.dumps(reply.content)
    message = {"role": "assistant", "content": None if reply.refusal else content, "refusal": reply.refusal}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": request["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": reply.finish_reason}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050},
    }
