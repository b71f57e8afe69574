"""The judge's client against a real server in this process."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from dualvla_core.evaluation.benchmarks.rules.judged import JudgeError
from infra.chat_completions import ChatCompletions, configured_judge
from infra.settings import Settings


class Endpoint(HTTPServer):
    """Replies with what it is given and keeps what it was asked."""

    reply: tuple[int, bytes] = (200, b"")
    asked: list[tuple[str, str | None, dict[str, Any]]]


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, self.headers["Authorization"], json.loads(body)))
        status, content = self.server.reply
        self.send_response(status)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint(("127.0.0.1", 0), Handler)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def url(endpoint: Endpoint) -> str:
    return f"http://127.0.0.1:{endpoint.server_port}/v1/"


def test_a_prompt_is_completed(endpoint: Endpoint) -> None:
    endpoint.reply = (200, json.dumps({"choices": [{"message": {"content": "0.5"}}]}).encode())
    judge = configured_judge(Settings(judge_url=url(endpoint), judge_key="secret"), "grader")
    assert judge is not None
    assert judge.complete("Grade this.", 0.5) == "0.5"
    ((path, key, request),) = endpoint.asked
    assert (path, key) == ("/v1/chat/completions", "Bearer secret")
    assert (request["model"], request["temperature"]) == ("grader", 0.5)
    assert request["messages"] == [{"role": "user", "content": "Grade this."}]


@pytest.mark.parametrize("reply", [(500, b"{}"), (200, b"no json"), (200, b"{}"), (200, b'{"choices": []}')])
def test_what_is_no_answer_is_a_judges_failure(endpoint: Endpoint, reply: tuple[int, bytes]) -> None:
    endpoint.reply = reply
    with pytest.raises(JudgeError, match=r"grader at http://127.0.0.1:.* gave no answer"):
        ChatCompletions(url(endpoint), "grader").complete("Grade this.", 0.0)
    assert endpoint.asked[0][1] is None


def test_an_endpoint_that_is_not_there_is_a_judges_failure(endpoint: Endpoint) -> None:
    with pytest.raises(JudgeError, match="gave no answer"):
        ChatCompletions("http://127.0.0.1:1/v1", "grader").complete("Grade this.", 0.0)


def test_without_an_endpoint_there_is_no_judge() -> None:
    assert configured_judge(Settings(judge_url=None), "grader") is None
