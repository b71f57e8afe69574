"""Trained policies whose measures are chosen by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core import schemas
from dualvla_core.evaluation.config import TrialConfig
from dualvla_core.evaluation.protocol import EvaluationProtocol
from dualvla_core.evaluation.tables import ANSWERS, FRAMES, ROLLOUTS, STEPS
from dualvla_core.report.context import TrainedPolicy
from dualvla_core.report.model import StageNode
from dualvla_core.training.config import TrainingConfig
from dualvla_core.vla_score.recorded import VERDICTS

MakePolicy = Callable[..., TrainedPolicy]
STEPS_PLAYED = 12
SAID = (None, "Reach down.", "Reach down.", "Close the gripper.")  # at the steps 0, 3, 6, 9


def jpeg(shade: int) -> bytes:
    """A grey square of 32 pixels."""
    return cv2.imencode(".jpg", np.full((32, 32, 3), shade, np.uint8))[1].tobytes()


def write_checkpoint(folder: Path, policy_type: str, losses: Mapping[str, Sequence[float]]) -> None:
    """What a report reads of a checkpoint; every term is one of the robot steps."""
    folder.mkdir(parents=True)
    config = {"policy_type": policy_type, "embodiment": "arm", "cameras": ["front"]}
    (folder / "config.json").write_text(json.dumps(config))
    rows = zip(*losses.values(), strict=True)
    lines = [
        {"step": step, "domain": "robot", **dict(zip(losses, row, strict=True)), "learning_rate": 0.1}
        for step, row in enumerate(rows, 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_rollouts(
    folder: Path, policy_type: str, outcomes: Mapping[str, str], said: Sequence[str | None], **trials: Any
) -> None:
    """Episodes by task: ``S`` is a success, ``f`` a failure. A decision every three steps, with one of four texts."""
    folder.mkdir(parents=True)
    per_task = len(next(iter(outcomes.values())))
    config = TrialConfig(tasks=tuple(outcomes), episodes_per_task=per_task, **{"max_steps": 50, **trials})
    EvaluationProtocol(**config.model_dump(), simulator="metaworld 1", harness="vla-eval 1").write(folder)
    rollouts, steps = [], []
    with pa.ipc.new_file(str(folder / "frames.arrow"), FRAMES) as frames:
        for number, (task, seed) in enumerate(config.episodes):
            facts = {"task": task, "seed": seed, "instruction": f"Do {task}.", "policy_type": policy_type}
            success = outcomes[task][seed - config.first_seed] == "S"
            rollouts.append(
                {"rollout": number, **facts, "success": success, "steps": STEPS_PLAYED, "final_state": [1.0]}
            )
            for step in range(STEPS_PLAYED):
                text = None if step % 3 else said[step // 3]
                row = {"rollout": number, "step": step, "state": [0.0], "action": [0.0], "replanned": step % 3 == 0}
                steps.append({**row, "reasoning": text})
            seen = [(step, jpeg(60 + 12 * step)) for step in range(0, STEPS_PLAYED + 1, 3)]
            moments = [{"rollout": number, "step": step, "image": image} for step, image in seen]
            frames.write_batch(pa.RecordBatch.from_pylist(moments, FRAMES))
    pq.write_table(pa.Table.from_pylist(rollouts, ROLLOUTS), folder / "rollouts.parquet")
    pq.write_table(pa.Table.from_pylist(steps, STEPS), folder / "steps.parquet")


def write_verdicts(folder: Path, policy_type: str, outcomes: Mapping[str, str]) -> None:
    """A 8, I 6 and, for a policy that reasons, R 4 and RA 2 for every rollout."""
    folder.mkdir(parents=True)
    reasons = policy_type != "specialist"
    rows = [
        {
            "rollout": number,
            "task": task,
            "seed": number,
            "policy_type": policy_type,
            "trajectory": f"t{number}",
            "judge": "rules",
            "success": letter == "S",
            "action": 8,
            "intention": 6,
            "reasoning": 4 if reasons else None,
            "alignment": 2 if reasons else None,
            "thought": "",
            "score": 0.25 if letter == "S" else 0.0,
            "evidence": [],
            "repeats": [],
            "prompt_tokens": 0,
            "completion_tokens": 0,
        }
        for number, (task, letter) in enumerate((task, letter) for task, each in outcomes.items() for letter in each)
    ]
    pq.write_table(pa.Table.from_pylist(rows, VERDICTS), folder / "verdicts.parquet")


def write_answers(folder: Path, right: Mapping[str, tuple[int, int]]) -> None:
    """By category, how many answers are right, of how many."""
    folder.mkdir(parents=True)
    rows = [
        {
            "index": f"{name}{number}",
            "item": f"{name}{number}",
            "category": name,
            "question": "What is it?",
            "expected": "a cube",
            "answer": "a cube" if number < correct else "a ball",
            "score": float(number < correct),
        }
        for name, (correct, total) in right.items()
        for number in range(total)
    ]
    pq.write_table(pa.Table.from_pylist(rows, ANSWERS), folder / "answers.parquet")


def write_collection(folder: Path, episodes: Sequence[str]) -> None:
    """Every third episode is held out."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "episode": name,
            "episode_index": index,
            "segment": "s",
            "position": index,
            "split": "held_out" if index % 3 == 2 else "train",
            "task": "push",
            "instruction": "Push.",
            "initial_condition": str(index),
            "length": 9,
            "fps": 10.0,
        }
        for index, name in enumerate(episodes)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schemas.COLLECTION), folder / "collection.parquet")


@pytest.fixture
def make_policy(tmp_path: Path) -> MakePolicy:
    """A factory ``(name, policy_type, outcomes, right, losses, trials, said, **fields)``; what is none is not there."""

    def make(
        name: str = "specialist",
        policy_type: str = "specialist",
        outcomes: Mapping[str, str] | None = None,
        right: Mapping[str, tuple[int, int]] | None = None,
        losses: Mapping[str, Sequence[float]] | None = None,
        trials: Mapping[str, Any] | None = None,
        said: Sequence[str] | None = None,
        **fields: Any,
    ) -> TrainedPolicy:
        folder = tmp_path / f"policy {name}"
        write_checkpoint(folder / "checkpoint", policy_type, losses or {"loss": [3.0, 2.0], "flow": [2.0, 1.0]})
        write_collection(tmp_path / "collection", ["a" * 64, "b" * 64, "c" * 64])
        config = TrainingConfig(steps=10, multimodal_every=0 if policy_type == "specialist" else 5, seed=7)
        found: dict[str, Any] = {}
        if outcomes is not None:
            words = said or ((None,) * 4 if policy_type == "specialist" else SAID)
            write_rollouts(folder / "rollouts", policy_type, outcomes, words, **(trials or {}))
            write_verdicts(folder / "score", policy_type, outcomes)
            found |= {"rollouts": folder / "rollouts", "score": folder / "score"}
        if right is not None:
            write_answers(folder / "answers", right)
            found |= {"questions": folder / "answers"}
        defaults: dict[str, Any] = {
            "name": name,
            "checkpoint": folder / "checkpoint",
            "key": f"key-of-{name}",
            "digest": "d" * 32,
            "training": {"parameters": 1200, "trainable_parameters": 1000, "robot_samples": 18, "robot_flow": 1.5},
            "config": config,
            "parameters": {"training": config.model_dump(mode="json")},
            "pruning": ("none",),
            "collection": tmp_path / "collection",
            "lineage": (StageNode(stage=f"train_{name}", key=f"key-of-{name}", digest="d" * 32, version=1),),
            "open_loop": {"normalised_error": 0.25, "episodes": 1, "decisions": 3},
        }
        return TrainedPolicy(**defaults | found | fields)

    return make
