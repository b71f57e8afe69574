"""A real, if tiny, transformers model as the judge: in this process, and behind a server."""

from __future__ import annotations

import base64
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

if find_spec("torch") is None or find_spec("transformers") is None:
    pytest.skip("the extra train is not installed", allow_module_level=True)

from dataclasses import replace

from dualvla_core.errors import ConfigError
from dualvla_core.evaluation.trajectory import Frame, Trajectory
from dualvla_core.vla_score.config import VlmJudgeConfig
from dualvla_core.vla_score.judge import Judgement, MissingVerdictError
from dualvla_core.vla_score.local_vlm import LocalChat
from dualvla_core.vla_score.prompt import Part, Picture, Text
from dualvla_core.vla_score.vlm_judge import VlmJudge
from infra.chat_endpoint import ChatEndpoint
from infra.judge_client import OpenAIChat
from infra.settings import Settings
from tests.dualvla_core.vla_score.tiny_vlm import save_tiny_vlm
from tests.infra.judge_server import Reply, judge_server

MakeTrajectory = Callable[..., Trajectory]


class Memory:
    """A `VerdictStore` in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, Judgement] = {}

    def get(self, digest: str) -> Judgement | None:
        return self.kept.get(digest)

    def put(self, digest: str, judgement: Judgement) -> None:
        self.kept[digest] = judgement


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("taught")
    save_tiny_vlm(folder, steps=60)
    return folder


@pytest.fixture
def attempt(trajectory: MakeTrajectory) -> Trajectory:
    image = cv2.imencode(".jpg", np.full((40, 40, 3), 90, np.uint8))[1].tobytes()
    made = trajectory(np.outer(np.linspace(0, 0.3, 21), [1, 0, 0]), [(0, "Move right.")])
    return replace(made, frames=tuple(Frame(step, image) for step in (0, 10, 20)))


def config(folder: Path) -> VlmJudgeConfig:
    return VlmJudgeConfig(model=str(folder), max_tokens=128)


def test_a_model_of_this_machine_judges(taught: Path, attempt: Trajectory) -> None:
    judgement = VlmJudge(config(taught), LocalChat(str(taught)), Memory(), name="local-vlm").judge(attempt)
    verdict = judgement.verdict
    assert (verdict.action, verdict.intention, verdict.reasoning, verdict.alignment) == (8, 7, 6, 5)
    assert judgement.prompt_tokens > 1000


def test_the_same_model_judges_behind_an_endpoint(taught: Path, attempt: Trajectory) -> None:
    model = LocalChat(str(taught))

    def answer(request: dict[str, Any]) -> Reply:
        system, user = request["messages"]
        turn: list[Part] = [_part(part) for part in user["content"]]
        said = model.complete(system["content"], turn, max_tokens=request["max_tokens"], seed=0)
        return Reply(said.text, finish_reason=said.finish_reason)

    with judge_server() as server:
        server.answer = answer
        chat = OpenAIChat(config(taught), ChatEndpoint("taught", Settings(judge_url=server.url)))
        verdict = VlmJudge(config(taught), chat, Memory()).judge(attempt).verdict
    assert (verdict.action, verdict.alignment) == (8, 5)


def test_a_model_that_babbles_gives_no_verdict(tmp_path: Path, attempt: Trajectory) -> None:
    save_tiny_vlm(tmp_path, steps=0)
    judge = VlmJudge(
        VlmJudgeConfig(model="x", max_tokens=64, attempts=2), LocalChat(str(tmp_path)), Memory(), name="local-vlm"
    )
    with pytest.raises(MissingVerdictError, match="No usable verdict from x in 2 answers"):
        judge.judge(attempt)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No vision-language model could be loaded"):
        LocalChat(str(tmp_path))


def _part(part: dict[str, Any]) -> Part:
    if part["type"] == "text":
        return Text(part["text"])
    return Picture(base64.b64decode(part["image_url"]["url"].partition(",")[2]))
