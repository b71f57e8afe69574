"""The benchmark stages over a real store: kept answers, re-scoring without a policy, one table of all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dualvla_core.errors import DatasetError
from dualvla_core.evaluation.benchmarks.config import ScoringConfig, TextJudgeConfig
from dualvla_core.evaluation.benchmarks.tables import OVERVIEW, OVERVIEW_FILE, read_rows
from infra.chat_endpoint import JudgeEndpointError
from infra.local_store import LocalObjectStore
from infra.manifest import ArtifactRef
from tasks.import_predictions import import_predictions
from tasks.predict_answers import UnfinishedAnswers, discard_answers
from tasks.read_benchmark import read_benchmark
from tasks.score_answers import RememberedJudge, score_answers, summarise_benchmarks
from tasks.stage import RunContext, StageTask, commit_once, open_artifacts
from tests.dualvla_core.evaluation.benchmarks.conftest import picture, write_tsv
from tests.infra.judge_server import Reply, judge_server


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunContext:
    monkeypatch.delenv("DUALVLA_JUDGE_URL", raising=False)
    return RunContext(store_uri=str(tmp_path / "store"), cache=str(tmp_path / "cache"))


def commit(stage: StageTask, run: RunContext, *args: object) -> tuple[ArtifactRef, bool]:
    manifest, hit = commit_once(stage, run, stage.declare(run, *args))
    return manifest.ref, hit


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    rows = [{"index": n, "question": "?", "answer": "12 kg", "category": "rec", "image": picture(9)} for n in range(2)]
    (tmp_path / "p.json").write_text(json.dumps({"0": "12 kg", "1": "12"}))
    return write_tsv(tmp_path / "MMVet.tsv", rows), tmp_path / "p.json"


def test_predictions_are_scored_again_without_being_made_again(run: RunContext, files: tuple[Path, Path]) -> None:
    questions, _ = commit(read_benchmark, run, "MMVet", str(files[0]))
    predictions, _ = commit(import_predictions, run, str(files[1]), questions)
    store = open_artifacts(run)
    scored, hit = commit(score_answers, run, ScoringConfig(benchmark="x", rule="anls"), questions, predictions)
    assert not hit
    assert store.manifest(scored).summary["accuracy"] == 0.5  # "12" is less than half of "12 kg"
    again, hit = commit(score_answers, run, ScoringConfig(benchmark="x", rule="containment"), questions, predictions)
    assert (hit, store.manifest(again).summary["accuracy"]) == (False, 0.5)
    assert commit(score_answers, run, ScoringConfig(benchmark="x", rule="anls"), questions, predictions) == (
        scored,
        True,
    )
    assert commit(read_benchmark, run, "MMVet", str(files[0])) == (questions, True)


def test_without_an_endpoint_the_judges_benchmark_is_incomplete(run: RunContext, files: tuple[Path, Path]) -> None:
    questions, _ = commit(read_benchmark, run, "MMVet", str(files[0]))
    predictions, _ = commit(import_predictions, run, str(files[1]), questions)
    params = ScoringConfig(benchmark="MMVet", rule="judge", judge=TextJudgeConfig(model="grader"))
    scored, _ = commit(score_answers, run, params, questions, predictions)
    store = open_artifacts(run)
    assert store.manifest(scored).summary["missing"] == 2
    summary, _ = commit(summarise_benchmarks, run, ("MMVet",), scored)
    assert "MMVet misses 2 of 2" in str(store.manifest(summary).summary["without_mean"])
    (row,) = read_rows(store.folder(summary) / OVERVIEW_FILE, OVERVIEW)
    assert (row["benchmark"], row["score"]) == ("MMVet", None)


def test_another_file_is_another_artifact(run: RunContext, files: tuple[Path, Path]) -> None:
    before, _ = commit(read_benchmark, run, "MMVet", str(files[0]))
    write_tsv(files[0], [{"index": 7, "question": "?", "answer": "x", "image": picture(9)}])
    after, hit = commit(read_benchmark, run, "MMVet", str(files[0]))
    assert (hit, before.key == after.key) == (False, False)


def test_files_that_are_not_there_are_named(run: RunContext, files: tuple[Path, Path]) -> None:
    with pytest.raises(DatasetError, match=r"There is no file 'nowhere\.tsv'"):
        read_benchmark.declare(run, "MMVet", "nowhere.tsv")
    questions, _ = commit(read_benchmark, run, "MMVet", str(files[0]))
    with pytest.raises(DatasetError, match=r"There is no file 'nowhere\.xlsx'"):
        import_predictions.declare(run, "nowhere.xlsx", questions)


def test_answers_of_an_interrupted_attempt_are_taken_over(tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path)
    first = UnfinishedAnswers(store, "key", "attempt-0001")
    assert first.load() == {}
    first.save({"1": "a"})
    first.save({"2": "ü"})
    UnfinishedAnswers(store, "other", "attempt-0001").save({"3": "c"})
    second = UnfinishedAnswers(store, "key", "attempt-0002")
    assert second.load() == {"1": "a", "2": "ü"}
    second.save({"4": "d"})
    assert UnfinishedAnswers(store, "key", "attempt-0003").load().keys() == {"1", "2", "4"}
    discard_answers(store, "key")
    assert second.load() == {}
    assert UnfinishedAnswers(store, "other", "attempt-0002").load() == {"3": "c"}


class FailingJudge:
    """Grades every other time it is asked."""

    asked = 0

    def complete(self, prompt: str, temperature: float) -> str:
        self.asked += 1
        return "0.5" if self.asked % 2 == 0 else "no"


def test_a_judges_grades_are_kept_and_its_failures_are_not(tmp_path: Path) -> None:
    endpoint = FailingJudge()
    judge = RememberedJudge(endpoint, "grader", LocalObjectStore(tmp_path))
    assert [judge.complete("a", 0.0) for _ in range(4)] == ["no", "0.5", "0.5", "0.5"]
    assert endpoint.asked == 2
    assert judge.complete("a", 0.5) == "no"  # a warmer question is another one


def test_an_endpoint_that_came_later_is_asked(
    run: RunContext, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    questions, _ = commit(read_benchmark, run, "MMVet", str(files[0]))
    predictions, _ = commit(import_predictions, run, str(files[1]), questions)
    params = ScoringConfig(benchmark="MMVet", rule="judge", judge=TextJudgeConfig(model="grader"))
    before, _ = commit(score_answers, run, params, questions, predictions)
    monkeypatch.setenv("DUALVLA_JUDGE_PATIENCE_S", "0")
    with judge_server() as server:
        monkeypatch.setenv("DUALVLA_JUDGE_URL", server.url)
        server.always = Reply(status=503)
        with pytest.raises(JudgeEndpointError, match="gave no answer"):
            commit(score_answers, run, params, questions, predictions)  # and is no score of missing grades
        server.always = Reply("0.5")
        after, hit = commit(score_answers, run, params, questions, predictions)
    assert (hit, before.key == after.key) == (False, False)
    assert open_artifacts(run).manifest(after).summary["missing"] == 0
