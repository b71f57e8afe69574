from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from dualvla_core.distillation.config import DistillationConfig
from dualvla_core.models.batches import WHOLE
from dualvla_core.training.config import ProbeConfig
from dualvla_core.training.data import HELD_OUT_SPLIT
from dualvla_core.training.plan import TrainingInputs, TrainingPlan
from dualvla_core.training.probe import flag_degeneration, probe_batch
from dualvla_core.training.stage import initial_policy, training_sources
from tests.dualvla_core.training.conftest import FolderStore, Train
from tests.dualvla_core.training.tiny_data import HELD_OUT, LENGTH, MODEL, TRAINING

PROBE = {"probe": ProbeConfig(every=2, frames=4, questions=2)}


@pytest.mark.parametrize("stage", [0, 3])
def test_probing_measures_and_changes_nothing(train: Train, stage: int) -> None:
    plain = train("generalist", training={"zero_stage": stage})
    probed = train("generalist", training={"zero_stage": stage, **PROBE})
    assert probed.file("model.safetensors") == plain.file("model.safetensors")
    held_out = [line for line in probed.metrics if line["domain"] == "held_out"]
    assert [line for line in probed.metrics if line["domain"] != "held_out"] == plain.metrics
    assert [line["step"] for line in held_out] == [0, 2, 4, 6]
    assert set(held_out[0]) == {"step", "domain", "action", "action_without_reasoning", "text"}
    assert held_out[0]["action"] != held_out[0]["action_without_reasoning"]
    assert held_out[-1]["text"] < held_out[0]["text"]  # six steps teach a little
    assert "degeneration" not in plain.summary
    change = held_out[-1]["text"] / held_out[0]["text"] - 1
    assert probed.summary["held_out_text_change"] == pytest.approx(change, abs=1e-4)


def test_teachers_divergences_are_probed_by_domain(train: Train, data: TrainingInputs) -> None:
    generalist = train("generalist")
    start = {"initial": generalist.output, "statistics": None}
    teachers = {"action_teacher": generalist.output, "reasoning_teacher": generalist.output}
    inputs = data.model_copy(update={**start, **teachers})
    student = train("dualvla", training=PROBE, inputs=inputs, distillation=DistillationConfig())
    first = next(line for line in student.metrics if line["domain"] == "held_out")
    assert first["reasoning_distillation"] == pytest.approx(0, abs=1e-6)  # it still is its teacher
    assert first["action_distillation"] > 0  # it reads the reasoning, its teacher does not


def test_a_killed_training_probes_on(train: Train, folder_store: FolderStore) -> None:
    whole = train("generalist", training=PROBE)
    with pytest.raises(KeyboardInterrupt):
        train("generalist", training=PROBE, store=folder_store, die_after=4)
    assert train("generalist", training=PROBE, store=folder_store).file("metrics.jsonl") == whole.file("metrics.jsonl")


def test_what_is_probed_is_held_out_with_reasoning_first(data: TrainingInputs) -> None:
    plan = TrainingPlan(policy="generalist", training=TRAINING, model=MODEL, inputs=data)
    source = training_sources(plan, initial_policy(plan), HELD_OUT_SPLIT)["robot"]
    assert [source.samples.name(index) for index in range(len(source.samples))] == [
        f"episode {HELD_OUT} frame {index}" for index in range(LENGTH)
    ]
    batch = probe_batch(source, 3, with_reasoning=True)
    told = source.batch([1, 3, 5], torch.Generator(), WHOLE)
    assert torch.equal(batch.input_ids, told.input_ids)  # the odd frames are those with reasoning


@pytest.mark.parametrize(
    ("action", "text", "flagged"),
    [
        ([1.0, 1.0, 1.2], [2.0, 1.0, 1.0], 1),
        ([1.0, 1.0, 1.04], [2.0, 1.0, 1.0], 0),
        ([1.0, 1.0, 1.2], [2.0, 2.0, 2.1], 0),
        ([1.0, 0.9, 0.8], [2.0, 1.0, 1.0], 0),
    ],
)
def test_the_alarm(tmp_path: Path, action: list[float], text: list[float], flagged: int) -> None:
    lines = [
        {"step": step, "domain": "held_out", "action": one, "text": other}
        for step, (one, other) in enumerate(zip(action, text, strict=True))
    ]
    lines.insert(1, {"step": 1, "domain": "robot", "loss": 9.0})
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = flag_degeneration(tmp_path)
    assert found["degeneration"] == flagged
    assert found["held_out_action_change"] == pytest.approx(action[-1] / action[0] - 1, abs=1e-4)


def test_one_probe_tells_no_change(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 0, "domain": "held_out", "action": 1.0, "text": 1.0}))
    assert flag_degeneration(tmp_path) == {}
