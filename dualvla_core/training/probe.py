"""The degeneration probe: now and then, what a policy in training makes of episodes and questions it never trains on.

Fine-tuning on reasoning and questions can lower the loss of text while actions get worse (DualVLA's action
degeneration). Training losses do not show it, since they are of the data that is being learnt.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dualvla_core.distillation.objective import Batch, Objective, Policy
from dualvla_core.models.batches import WHOLE, RobotBatch
from dualvla_core.params import Summary
from dualvla_core.training.config import ProbeConfig
from dualvla_core.training.data import Samples, Source
from dualvla_core.training.metrics import METRICS_FILE

HELD_OUT = "held_out"
"""The domain under which the record of a training holds what was probed."""
ACTION, TEXT = "action", "text"
_CANDIDATES = 8  # frames looked at for each that is probed: most may have lost their reasoning to pruning
_RISE = 0.05  # relative rise of the action loss that is flagged


class Probe:
    """Measures a policy on fixed held-out batches with fixed noise, so that only the weights differ between probes.

    Args:
        config: how often, and on how much.
        objective: of the training; its teachers, where there are any, give the divergences.
        robot: batch of held-out frames, with their reasoning.
        questions: batch of held-out questions; none where the training has none.
    """

    def __init__(
        self, config: ProbeConfig, objective: Objective, robot: RobotBatch, questions: Batch | None = None
    ) -> None:
        self.every = config.every
        self._objective = objective
        self._robot = robot
        self._questions = questions

    def measure(self, student: Any) -> dict[str, float]:
        """Losses by name; the student's mode and torch's generators are left as they were.

        ``action`` is the action head's loss after the reasoning of the data, ``action_without_reasoning`` the same with
        none; ``text`` the loss of reasoning and answers; the rest are divergences from the teachers, by domain.
        """
        training = student.training
        student.eval()
        with torch.no_grad(), torch.random.fork_rng():
            robot = self._terms(student, self._robot)
            plain = self._terms(student, _without_reasoning(self._robot))
            asked = {} if self._questions is None else self._terms(student, self._questions)
        student.train(training)
        head = next(name for name in robot if name not in {"loss", "language", "action_distillation"})
        texts = [terms["language"] for terms in (robot, asked) if "language" in terms]
        found = {ACTION: robot[head], "action_without_reasoning": plain[head], TEXT: float(np.mean(texts))}
        divergences = {**robot, **asked}
        return found | {name: value for name, value in divergences.items() if name.endswith("distillation")}

    def _terms(self, student: Policy, batch: Batch) -> dict[str, float]:
        step = self._objective.step(student, batch, torch.Generator().manual_seed(0))
        return {name: float(value) for name, value in step.terms.items()}


def probe_batch(source: Source[Any], count: int, *, with_reasoning: bool = False) -> Batch:
    """``count`` samples spread evenly over ``source``, as they are (no augmentation).

    ``with_reasoning`` prefers frames that have some.
    """
    samples: Samples[Any] = source.samples
    wanted = count * (_CANDIDATES if with_reasoning else 1)
    spread = np.unique(np.linspace(0, len(samples) - 1, min(wanted, len(samples))).round().astype(int)).tolist()
    if with_reasoning:
        spread.sort(key=lambda index: not samples[index].reasoning)  # stable: those without come last
    return source.batch(sorted(spread[:count]), torch.Generator(), WHOLE)


def flag_degeneration(checkpoint: Path) -> Summary:
    """What the probes of a training say: relative changes of action and text loss, and whether that is degeneration.

    The first probe is compared with the mean of the last third of them. Flagged (1) is an action loss that rose by more
    than 5 % while the text's loss fell. Empty where nothing was probed after the start.
    """
    lines = [json.loads(line) for line in (checkpoint / METRICS_FILE).read_text(encoding="utf-8").splitlines()]
    probes = [line for line in lines if line["domain"] == HELD_OUT]
    if len(probes) < 2:
        return {}
    action, text = _change(probes, ACTION), _change(probes, TEXT)
    return {
        "held_out_action_change": round(action, 4),
        "held_out_text_change": round(text, 4),
        "degeneration": int(action > _RISE and text < 0),
    }


def _change(probes: Sequence[Mapping[str, float]], name: str) -> float:
    last = probes[-max(1, len(probes) // 3) :]
    return float(np.mean([probe[name] for probe in last])) / probes[0][name] - 1


def _without_reasoning(batch: RobotBatch) -> RobotBatch:
    plain = batch.plain
    return dataclasses.replace(
        batch,
        input_ids=plain.input_ids,
        attention_mask=plain.attention_mask,
        labels=plain.labels,
        query_mask=plain.query_mask,
    )
