"""Teachers that a configuration names: where they come from, and how keys know them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerBase

from dualvla_core.distillation.config import DistillationConfig
from dualvla_core.errors import ArtifactError
from dualvla_core.models.dualvla import DualVLA
from dualvla_core.models.tokenizer import train_tokenizer
from dualvla_core.pipeline_config import parse_override, resolve_config
from dualvla_core.training.config import TrainingConfig, TrainingExecution
from infra.manifest import ArtifactRef
from tasks.cache_teacher_outputs import cache_teacher_outputs
from tasks.distill_student import distill_student
from tasks.stage import RunContext, open_artifacts
from tasks.training_job import TrainingData
from tasks.training_sources import NamedCheckpoint, choose_teacher
from tests.dualvla_core.models.conftest import signal
from tests.dualvla_core.training.tiny_data import CAMERAS, MODEL

TRAINED = ArtifactRef(stage="train_specialist", key="key", digest="digest")
DATA = TrainingData(
    shards=(ArtifactRef(stage="build_shards", key="a", digest="a"),),
    collection=ArtifactRef(stage="plan", key="b", digest="b"),
    multimodal=ArtifactRef(stage="build_multimodal", key="c", digest="c"),
)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    tokenizer: PreTrainedTokenizerBase = train_tokenizer(["Push."], MODEL)
    statistics: dict[str, Any] = {"robot": {"action": signal(-2, 2, 4), "state": signal(0, 1, 4)}}
    policy = DualVLA(MODEL, tokenizer, statistics, embodiment="robot", cameras=CAMERAS, policy_type="specialist")
    policy.save_pretrained(tmp_path / "mine")
    return tmp_path / "mine"


@pytest.fixture
def hub(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """A stand-in of the hub that holds the checkpoint as ``owner/policy``; notes what is asked of it."""
    asked: list[tuple[str, str | None]] = []

    def cached(repository: str, name: str, revision: str | None = None) -> str:
        asked.append((repository, revision))
        if repository != "owner/policy":
            raise OSError("404")
        return str(checkpoint / name)

    monkeypatch.setattr("dualvla_core.models.checkpoint.cached_file", cached)
    return asked


def named(source: str) -> NamedCheckpoint:
    teacher = choose_teacher(source, TRAINED)
    assert isinstance(teacher, NamedCheckpoint)
    return teacher


@pytest.mark.parametrize("wanted", [True, False])
def test_without_a_name_the_teacher_is_the_one_of_the_run(wanted: bool) -> None:
    assert choose_teacher(wanted, TRAINED) is TRAINED


def test_a_checkpoint_is_known_by_its_content_wherever_it_lies(
    checkpoint: Path, tmp_path: Path, hub: list[tuple[str, str | None]]
) -> None:
    copy = shutil.copytree(checkpoint, tmp_path / "copy")
    (copy / "metrics.jsonl").write_text("{}")  # says nothing about what it teaches
    first, second = named(str(checkpoint)), named(str(copy))
    assert first.digest == second.digest
    assert (first.folder, second.folder) == (checkpoint, copy)
    assert not hub
    assert named("owner/policy").digest == named("owner/policy@v2").digest == first.digest
    assert {revision for _, revision in hub} == {None, "v2"}
    (copy / "statistics.json").write_text((copy / "statistics.json").read_text() + " ")
    assert named(str(copy)).digest != first.digest


def test_what_is_no_checkpoint_is_one_sentence(tmp_path: Path, hub: list[tuple[str, str | None]]) -> None:
    with pytest.raises(ArtifactError, match=r"has no config\.json; give the folder of a checkpoint"):
        named(str(tmp_path))
    with pytest.raises(ArtifactError, match="no folder 'owner/other' here, and the hub gave no checkpoint"):
        named("owner/other")


def student_key(tmp_path: Path, **distillation: Any) -> str:
    run = RunContext(store_uri=str(tmp_path / "store"), cache=str(tmp_path / "cache"))
    told = DistillationConfig.model_validate(distillation)
    work = distill_student.declare(run, TrainingConfig(), told, DATA, TRAINED, TRAINED, TRAINED, TrainingExecution())
    return distill_student.request(work).key


def test_keys_hold_what_a_named_teacher_says_and_not_its_name(
    checkpoint: Path, tmp_path: Path, hub: list[tuple[str, str | None]]
) -> None:
    by_folder = student_key(tmp_path, action_teacher=str(checkpoint))
    assert student_key(tmp_path, action_teacher="owner/policy") == by_folder
    others = [student_key(tmp_path), student_key(tmp_path, reasoning_teacher="owner/policy")]
    others += [student_key(tmp_path, action_teacher=False)]
    assert len({by_folder, *others}) == 4


def test_parameters_without_a_named_teacher_are_keyed_as_they_are() -> None:
    for config in (DistillationConfig(), DistillationConfig(action_teacher=False, teachers="cached")):
        assert config.keyed() == config.model_dump(mode="json")


def test_a_cache_asks_the_named_teacher(checkpoint: Path, tmp_path: Path) -> None:
    run = RunContext(store_uri=str(tmp_path / "store"), cache=str(tmp_path / "cache"))
    told = DistillationConfig(teachers="cached", action_teacher=str(checkpoint), reasoning_teacher=False)
    work = cache_teacher_outputs.declare(run, TrainingConfig(), told, DATA, TRAINED, TRAINED)
    assert set(work.inputs) == {"shards", "collection"}
    assert work.facts == {"action_teacher": named(str(checkpoint)).digest}
    assert work.provenance == {"teachers": {"action_teacher": str(checkpoint)}}
    assert open_artifacts(run).find("cache_teacher_outputs", cache_teacher_outputs.request(work).key) is None


@pytest.mark.parametrize(
    ("value", "expected"), [("false", False), ("owner/name@v1", "owner/name@v1"), ("../p", "../p")]
)
def test_a_teacher_is_a_configuration_value(value: str, expected: Any) -> None:
    resolved = resolve_config([parse_override(f"learning.distillation.action_teacher={value}")])
    assert resolved.config.learning.distillation.action_teacher == expected
