"""Multimodal benchmarks: a policy is asked, or predictions from a file are taken; then they are scored."""

from __future__ import annotations

from prefect import flow
from pydantic import Field

from dualvla_core.evaluation.benchmarks.config import BenchmarkConfig, TextJudgeConfig
from dualvla_core.params import Params
from dualvla_core.pipeline_config import PipelineConfig
from infra.manifest import ArtifactRef
from tasks.import_predictions import import_predictions
from tasks.predict_answers import predict_answers
from tasks.read_benchmark import read_benchmark, read_question_set
from tasks.score_answers import score_answers, summarise_benchmarks
from tasks.stage import Missing, Output, RunContext, collected

STAGES = (read_benchmark, read_question_set, predict_answers, import_predictions, score_answers, summarise_benchmarks)
"""The stages of the benchmarks, in the order of the data."""


class PredictionFile(Params):
    """Predictions somebody has made, and the benchmark they answer."""

    benchmark: BenchmarkConfig = Field(description="The benchmark")
    path: str = Field(description="Prediction file: .xlsx, .tsv or .json")
    judge: TextJudgeConfig | None = Field(default=None, description="Who grades free answers")


def run_benchmarks(
    run: RunContext, config: PipelineConfig, policy_name: str, policy: Output, multimodal: ArtifactRef | None
) -> dict[str, Output]:
    """Ask a policy this project's own questions and every configured benchmark, and score its answers.

    Returns ``questions``, the score of our own, and ``benchmarks``, the table of the others, where there are any.
    """
    wanted, batch = config.evaluation, config.execution.answer_batch
    measures: dict[str, Output] = {}
    if multimodal is not None:
        label, asked = f"{policy_name} · questions", wanted.questions
        questions = read_question_set.submit("questions", run, asked.split, multimodal)
        answers = predict_answers.submit(label, run, asked.generation(), policy, questions, batch)
        measures["questions"] = score_answers.submit(label, run, asked.scoring(), questions, answers)
    scores = []
    for each in wanted.benchmarks:
        label = f"{policy_name} · {each.name}"
        questions = read_benchmark.submit(each.name, run, each.name, each.path)
        answers = predict_answers.submit(label, run, each.generation(), policy, questions, batch)
        scores.append(score_answers.submit(label, run, each.scoring(wanted.judge), questions, answers))
    if scores:
        names = tuple(each.name for each in wanted.benchmarks)
        measures["benchmarks"] = summarise_benchmarks.submit(policy_name, run, names, *scores)
    return measures


@flow(name="score", persist_result=False)
def score(config: PredictionFile, run: RunContext) -> ArtifactRef:
    """Score the predictions of a file."""
    benchmark = config.benchmark
    questions = read_benchmark.submit(benchmark.name, run, benchmark.name, benchmark.path)
    answers = import_predictions.submit(benchmark.name, run, config.path, questions)
    scored = collected([score_answers.submit(benchmark.name, run, benchmark.scoring(config.judge), questions, answers)])
    assert not isinstance(scored, Missing), "only dry runs miss"
    return scored[0]
