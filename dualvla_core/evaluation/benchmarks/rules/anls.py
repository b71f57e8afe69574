"""Average normalised Levenshtein similarity (Biten et al. 2019), as VLMEvalKit computes it for documents."""

from __future__ import annotations

from dualvla_core.evaluation.benchmarks.question import Question
from dualvla_core.evaluation.benchmarks.rules.score import Score, accepted_answers

_THRESHOLD = 0.5  # less similar answers count for nothing


def edit_distance(one: str, other: str) -> int:
    """Insertions, deletions and substitutions that turn one text into the other (Levenshtein 1966)."""
    row = list(range(len(other) + 1))
    for above, letter in enumerate(one, start=1):
        diagonal, row[0] = row[0], above
        for column, against in enumerate(other, start=1):
            cheapest = min(row[column] + 1, row[column - 1] + 1, diagonal + (letter != against))
            diagonal, row[column] = row[column], cheapest
    return row[-1]


def normalised_distance(answer: str, truth: str) -> float:
    """Edit distance of the texts without case and superfluous space, over the longer of the two as they were given."""
    length = max(len(truth.upper()), len(answer.upper()))
    if not length:
        return 0.0
    return edit_distance(" ".join(truth.lower().split()), " ".join(answer.lower().split())) / length


def anls(answer: str, truths: tuple[str, ...]) -> float:
    """1 - the least distance to an accepted text; 0 below one half."""
    similarity = 1 - min(normalised_distance(answer, truth) for truth in truths)
    return similarity if similarity >= _THRESHOLD else 0.0


def score_anls(question: Question, answer: str) -> Score:
    """`anls` against the question's accepted texts."""
    return Score(anls(answer, accepted_answers(question.answer)), " ".join(answer.lower().split()))
