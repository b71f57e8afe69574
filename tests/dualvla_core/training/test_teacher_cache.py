"""Teachers asked beforehand: what they said reaches the student, and nobody asks them again."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from dualvla_core.distillation.config import DistillationConfig, TeacherCacheConfig
from dualvla_core.distillation.objective import Objective, Teachers
from dualvla_core.errors import ArtifactError, ConfigError
from dualvla_core.models.batches import MultimodalBatch, RobotBatch, Share
from dualvla_core.models.config import DiscreteHeadConfig
from dualvla_core.models.dualvla import DualVLA
from dualvla_core.training.plan import TrainingInputs, TrainingPlan
from dualvla_core.training.stage import cache_teachers, student_sources, training_sources
from tests.dualvla_core.training.conftest import Train
from tests.dualvla_core.training.tiny_data import MODEL, TRAINING

CACHED = DistillationConfig(teachers="cached", cache=TeacherCacheConfig(tokens=5000, samples=1, draws=3))
"""Every token is kept, so that the cache says what the teacher says."""


@pytest.fixture
def plan(train: Train, data: TrainingInputs) -> TrainingPlan:
    generalist = train("generalist", training={"steps": 2})
    inputs = data.model_copy(
        update={
            "initial": generalist.output,
            "statistics": None,
            "action_teacher": generalist.output,
            "reasoning_teacher": generalist.output,
        }
    )
    return TrainingPlan(policy="dualvla", training=TRAINING, distillation=CACHED, inputs=inputs)


@pytest.fixture
def cache(plan: TrainingPlan, tmp_path: Path) -> Callable[..., tuple[Path, dict[str, Any]]]:
    def make(name: str = "cache", **changes: Any) -> tuple[Path, dict[str, Any]]:
        folder = tmp_path / name
        folder.mkdir()
        told = plan.model_copy(update=changes)
        return folder, cache_teachers(told, folder, torch.device("cpu"), lambda *_: None)

    return make


def with_cache(plan: TrainingPlan, folder: Path) -> TrainingPlan:
    return plan.model_copy(update={"inputs": plan.inputs.model_copy(update={"teacher_cache": folder})})


def test_cached_teachers_say_what_asked_ones_would(
    plan: TrainingPlan, cache: Callable[..., tuple[Path, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, summary = cache()
    assert (summary["robot_samples"], summary["multimodal_samples"]) == (18, 3)
    student = DualVLA.from_pretrained(plan.inputs.initial)  # type: ignore[arg-type]
    sources = student_sources(with_cache(plan, folder), student)
    with torch.no_grad():  # what the student is, moved a little
        for parameter in student.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator()))
    teacher = DualVLA.from_pretrained(plan.inputs.initial)  # type: ignore[arg-type]
    cached, online = Objective(Teachers(CACHED, None, None), 2), Objective(Teachers(CACHED, teacher, teacher), 2)

    questions: Any = sources["multimodal"].batch([2, 0], generator(), Share())
    told = cached.step(student, questions, generator()).terms["reasoning_distillation"]
    asked = online.step(student, untaught(questions, MultimodalBatch), generator()).terms["reasoning_distillation"]
    torch.testing.assert_close(told, asked)
    assert told > 0

    frames: Any = sources["robot"].batch([2, 0], generator(), Share())
    assert frames.noise.shape == (2, 3, 3, 4)
    drawn = torch.randint(3, (2, 2), generator=generator())
    choice = frames.chosen(drawn)
    torch.testing.assert_close(choice.flow.noise[1], frames.noise[1, drawn[0, 1]])  # one draw after another
    torch.testing.assert_close(choice.flow.time[2], frames.time[0, drawn[1, 0]])
    terms = cached.step(student, frames, generator()).terms
    monkeypatch.setattr(Objective, "_flow_noise", lambda *_: choice.flow)
    expected = online.step(student, untaught(frames, RobotBatch), generator()).terms
    for name in ("flow", "action_distillation"):
        torch.testing.assert_close(terms[name], expected[name])
    assert terms["action_distillation"] > 0


def untaught(batch: Any, kind: Any) -> Any:
    """The same batch without what teachers said."""
    return kind(**{field.name: getattr(batch, field.name) for field in dataclasses.fields(kind)})


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_a_student_learns_from_a_cache_without_asking_anyone(
    plan: TrainingPlan,
    cache: Callable[..., tuple[Path, dict[str, Any]]],
    train: Train,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, _ = cache()
    for name in ("plain_actions", "supervised_targets"):
        monkeypatch.delattr(f"dualvla_core.distillation.objective.{name}")
    student = train("dualvla", inputs=with_cache(plan, folder).inputs, distillation=CACHED)
    assert student.metrics[0]["action_distillation"] > 0
    assert "reasoning_distillation" in student.metrics[2]
    again = train("dualvla", inputs=with_cache(plan, folder).inputs, distillation=CACHED)
    assert again.file("model.safetensors") == student.file("model.safetensors")


def test_a_sample_is_augmented_by_its_number_not_by_its_place(
    plan: TrainingPlan, cache: Callable[..., tuple[Path, dict[str, Any]]]
) -> None:
    student = DualVLA.from_pretrained(plan.inputs.initial)  # type: ignore[arg-type]
    sources = training_sources(plan, student)
    taught = student_sources(with_cache(plan, cache()[0]), student)["robot"]
    first = taught.batch([4, 7], torch.Generator().manual_seed(0), Share())
    second = taught.batch([7, 1, 2], torch.Generator().manual_seed(9), Share(1, 2))
    assert torch.equal(first.images[1], second.images[0])
    assert torch.equal(first.velocity[1], second.velocity[0])  # type: ignore[union-attr]
    plain = sources["robot"].batch([7], torch.Generator().manual_seed(0), Share())
    assert not torch.equal(plain.images[0], second.images[0])
    assert taught.samples.name(7) == "episode three frame 1"


def test_the_same_teachers_write_the_same_bytes(cache: Callable[..., tuple[Path, dict[str, Any]]]) -> None:
    first, second = cache("first")[0], cache("second")[0]
    assert {path.name for path in first.iterdir()} == {"robot.arrow", "multimodal.arrow", "terms.json"}
    assert all((second / path.name).read_bytes() == path.read_bytes() for path in first.iterdir())


def test_a_cache_on_other_terms_is_refused(
    plan: TrainingPlan, cache: Callable[..., tuple[Path, dict[str, Any]]], train: Train
) -> None:
    folder, _ = cache()
    warmer = CACHED.model_copy(update={"temperature": 4.0})
    with pytest.raises(ConfigError, match=r"cached with temperature 2\.0, not 4\.0"):
        train("dualvla", inputs=with_cache(plan, folder).inputs, distillation=warmer)
    with pytest.raises(ConfigError, match="no cache was given"):
        train("dualvla", inputs=plan.inputs, distillation=CACHED)
    table = pa.ipc.open_file(str(folder / "robot.arrow")).read_all()
    with pa.ipc.new_file(str(folder / "robot.arrow"), table.schema) as file:
        file.write_table(table.slice(1))
    with pytest.raises(ArtifactError, match="cached on 17 robot samples, but there are 18"):
        train("dualvla", inputs=with_cache(plan, folder).inputs, distillation=CACHED)


def test_ablated_teachers_are_not_asked(
    plan: TrainingPlan, cache: Callable[..., tuple[Path, dict[str, Any]]], train: Train
) -> None:
    alone = CACHED.model_copy(update={"action_teacher": False})
    folder, summary = cache("alone", distillation=alone)
    assert set(summary) == {"multimodal_samples", "sampled_mass"}
    student = train("dualvla", inputs=with_cache(plan, folder).inputs, distillation=alone)
    assert "action_distillation" not in student.metrics[0]
    assert "reasoning_distillation" in student.metrics[2]
    with pytest.raises(ConfigError, match="nothing to cache"):
        cache("none", distillation=alone.model_copy(update={"reasoning_teacher": False}))


def test_the_mass_left_to_sampling_is_stated(
    plan: TrainingPlan, cache: Callable[..., tuple[Path, dict[str, Any]]]
) -> None:
    few = CACHED.model_copy(update={"cache": TeacherCacheConfig(tokens=2, samples=4, draws=1)})
    folder, summary = cache("few", distillation=few)
    rows = pa.ipc.open_file(str(folder / "multimodal.arrow")).read_all().to_pylist()
    assert 0 < summary["sampled_mass"] == pytest.approx(sum(row["sampled_mass"] for row in rows) / len(rows), abs=1e-6)
    assert json.loads((folder / "terms.json").read_text())["cache"]["tokens"] == 2
    assert len(rows[0]["ids"]) == 6 * len(rows[0]["negative_entropy"])


def test_cached_bins_say_what_an_asked_head_would(train: Train, data: TrainingInputs, tmp_path: Path) -> None:
    bins = {"action_head": "discrete", "discrete": DiscreteHeadConfig(hidden=8, layers=1, heads=1, bins=16)}
    generalist = train("generalist", training={"steps": 2}, model=MODEL.model_copy(update=bins)).output
    changes = {"initial": generalist, "statistics": None, "action_teacher": generalist, "reasoning_teacher": generalist}
    inputs = data.model_copy(update=changes)
    plan = TrainingPlan(policy="dualvla", training=TRAINING, distillation=CACHED, inputs=inputs)
    summary = cache_teachers(plan, tmp_path, torch.device("cpu"), lambda *_: None)
    assert summary["sampled_bin_mass"] == 0
    student: Any = DualVLA.from_pretrained(generalist)
    frames: Any = student_sources(with_cache(plan, tmp_path), student)["robot"].batch([2, 0], generator(), Share())
    assert frames.ids.shape == (2, 3 * 4, 16 + 1)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator()))
    teacher: Any = DualVLA.from_pretrained(generalist)
    cached = Objective(Teachers(CACHED, None, None), action_head="discrete").step(student, frames, generator())
    online = Objective(Teachers(CACHED, teacher, None), action_head="discrete")
    asked = online.step(student, untaught(frames, RobotBatch), generator())
    assert cached.terms.keys() == asked.terms.keys() == {"loss", "language", "bins", "action_distillation"}
    for name, value in asked.terms.items():
        torch.testing.assert_close(cached.terms[name], value)
    assert cached.terms["action_distillation"] > 0
    taught = train("dualvla", inputs=with_cache(plan, tmp_path).inputs, distillation=CACHED)
    assert taught.metrics[0]["action_distillation"] > 0
