"""The eight benchmarks of the paper, as VLMEvalKit publishes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Published:
    """What is known of a published benchmark."""

    title: str
    """As the paper's tables call it."""
    prompt: Literal["multiple_choice", "short_answer", "question"]
    rule: Literal["mmmu", "judge", "multiple_choice", "containment", "circular", "vqa_accuracy", "anls"]
    md5: str
    """Of the TSV file, as VLMEvalKit lists it."""
    url: str
    """Where the file is published."""
    split: str | None = None
    """The split that is reported; None for all questions."""


_SERVER = "https://opencompass.openxlab.space/utils"

CATALOGUE: Mapping[str, Published] = {
    "MMMU_DEV_VAL": Published(
        "MMMU",
        "multiple_choice",
        "mmmu",
        "585e8ad75e73f75dcad265dfd0417d64",
        f"{_SERVER}/VLMEval/MMMU_DEV_VAL.tsv",
        split="validation",
    ),
    "MMVet": Published(
        "MM-Vet", "question", "judge", "748aa6d4aa9d4de798306a63718455e3", f"{_SERVER}/VLMEval/MMVet.tsv"
    ),
    "MMStar": Published(
        "MMStar",
        "multiple_choice",
        "multiple_choice",
        "e1ecd2140806c1b1bbf54b43372efb9e",
        f"{_SERVER}/VLMEval/MMStar.tsv",
    ),
    "OCRBench": Published(
        "OCRBench", "short_answer", "containment", "e953d98a987cc6e26ef717b61260b778", f"{_SERVER}/VLMEval/OCRBench.tsv"
    ),
    "MMBench_DEV_EN_V11": Published(
        "MMB",
        "multiple_choice",
        "circular",
        "30c05be8f2f347a50be25aa067248184",
        f"{_SERVER}/benchmarks/MMBench/MMBench_DEV_EN_V11.tsv",
    ),
    "TextVQA_VAL": Published(
        "TextVQA",
        "short_answer",
        "vqa_accuracy",
        "b233b31f551bbf4056f2f955da3a92cd",
        f"{_SERVER}/VLMEval/TextVQA_VAL.tsv",
    ),
    "InfoVQA_VAL": Published(
        "InfoVQA", "short_answer", "anls", "2342e9c225222f0ef4dec545ebb126fe", f"{_SERVER}/VLMEval/InfoVQA_VAL.tsv"
    ),
    "DocVQA_VAL": Published(
        "DocVQA", "short_answer", "anls", "d5ee77e1926ff10690d469c56b73eabf", f"{_SERVER}/VLMEval/DocVQA_VAL.tsv"
    ),
}
"""By the name of the TSV file, in the order of the paper."""
