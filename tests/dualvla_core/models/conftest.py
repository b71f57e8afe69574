from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from dualvla_core.models import DualVLA, ModelConfig, train_tokenizer
from dualvla_core.models.config import BackboneConfig, FlowHeadConfig, TinyBackboneConfig
from dualvla_core.shards.dataset import RobotFrame

CAMERAS = ("front", "wrist")
TEXTS = ("Open the drawer.", "Reach the red ball.", "subtask: Pull the handle.", "What colour is the door?", "Grey.")


def signal(low: float, high: float, width: int) -> dict[str, list[Any]]:
    """Statistics of ``width`` dimensions that vary from ``low`` to ``high``; the last one is a gripper."""
    return {
        "q01": [low] * width,
        "q99": [high] * width,
        "min": [low] * width,
        "max": [high] * width,
        "mask": [True] * (width - 1) + [False],
    }


def text_logits(policy: DualVLA, hidden: torch.Tensor) -> torch.Tensor:
    """Logits ``[..., V]`` of the token after each hidden state ``[..., D]``."""
    return torch.cat([hidden @ rows.T for rows in policy.text_rows], -1)


@pytest.fixture(scope="session")
def statistics() -> dict[str, Any]:
    return {"robot": {"action": signal(-2, 2, 4), "state": signal(0, 1, 7)}}


@pytest.fixture(scope="session")
def config() -> ModelConfig:
    return ModelConfig(
        backbone=BackboneConfig(
            tiny=TinyBackboneConfig(
                vision_channels=(8, 8, 8), hidden=16, layers=2, heads=2, intermediate=32, vocabulary=320
            )
        ),
        image_size=32,
        image_tokens=4,
        max_text_tokens=64,
        max_reasoning_tokens=8,
        action_queries=3,
        action_chunk=5,
        flow=FlowHeadConfig(hidden=16, layers=2, heads=2, euler_steps=2),
    )


@pytest.fixture(scope="session")
def tokenizer(config: ModelConfig) -> PreTrainedTokenizerFast:
    return train_tokenizer(TEXTS, config)


@pytest.fixture
def policy(config: ModelConfig, tokenizer: PreTrainedTokenizerFast, statistics: dict[str, Any]) -> DualVLA:
    torch.manual_seed(0)
    return DualVLA(config, tokenizer, statistics, embodiment="robot", cameras=CAMERAS, policy_type="specialist").eval()


@pytest.fixture
def frame() -> Callable[..., RobotFrame]:
    """Makes a frame; by default the third-last of its episode, with images of 40 px."""

    def make(**changes: Any) -> RobotFrame:
        grey = {camera: np.full((40, 40, 3), 51 * (1 + index), np.uint8) for index, camera in enumerate(CAMERAS)}
        values: dict[str, Any] = {
            "episode": "e",
            "frame_index": 0,
            "embodiment": "robot",
            "instruction": "Open the drawer.",
            "images": grey,
            "state": np.full(7, 0.5, np.float32),
            "actions": np.ones((5, 4), np.float32),
            "is_padding": np.array([False, False, False, True, True]),
            "reasoning": (("subtask", "Pull the handle."),),
            "keep": True,
        }
        return RobotFrame(**values | changes)

    return make
