from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

from dualvla_core.experiments.page import (
    HEIGHT,
    NUMBERS,
    PAGE,
    SECTION,
    WIDTH,
    ExperimentText,
    curves,
    marks,
    plane,
    publish,
)
from dualvla_core.experiments.summary import ExperimentSummary
from tests.dualvla_core.experiments.conftest import MakeSeed

TEXT = ExperimentText(
    title="Degeneration", question="Does it fall?", claim="it falls.", variants={"dualvla": "<ours>", "raw_5": "raw"}
)


def published(make_seed: MakeSeed, output: Path, seeds: int) -> str:
    output.mkdir()
    folders = [make_seed(seed, dualvla="SSSf", raw_5="Sfff") for seed in range(seeds)]
    summary = publish(["dualvla"], TEXT, folders, {"Model": "tiny"}, output)
    assert (summary["seeds"], summary["dualvla.success"]) == (seeds, 75)
    return (output / PAGE).read_text()


def test_the_page_holds_every_variant_and_its_words(make_seed: MakeSeed, tmp_path: Path) -> None:
    page = published(make_seed, tmp_path / "output", 3)
    assert "&lt;ours&gt;" in page
    assert "75.0 [21.2, 128.8]" in page
    assert "-50.0 [-112.1, +12.1]" in page
    assert "nothing below should be generalised" not in page


def test_few_seeds_are_called_few(make_seed: MakeSeed, tmp_path: Path) -> None:
    page = published(make_seed, tmp_path / "output", 1)
    assert "1 training seed: no interval can be given" in page
    assert "not told apart" in page


def test_the_section_is_a_table_per_question(make_seed: MakeSeed, tmp_path: Path) -> None:
    published(make_seed, tmp_path / "output", 2)
    lines = (tmp_path / "output" / SECTION).read_text().splitlines()
    columns = {line.count("|") for line in lines if line.startswith("|")}
    assert columns == {6, 8}  # of differences, and of variants with all measures but unseen tasks
    assert any(line.startswith("| raw_5 | success | -50.0") for line in lines)


def test_drawings(make_seed: MakeSeed, tmp_path: Path) -> None:
    published(make_seed, tmp_path / "output", 2)
    found = ExperimentSummary.model_validate(json.loads((tmp_path / "output" / NUMBERS).read_text()))
    first, _ = plane(found)
    assert (first.name, first.x, first.y) == ("dualvla", 0.75 * WIDTH, 0.5 * HEIGHT)
    success, *others = curves(found)
    assert success.path == f"M{WIDTH:g} {0.75 * HEIGHT:g}"  # raw_5 alone is on the line, at the last step
    assert [(mark.name, mark.x) for mark in success.marks] == [("raw_5", WIDTH)]
    assert success.subject is not None
    assert (success.subject.name, success.subject.x) == ("dualvla", 0)
    heights = sorted(each.label_y for each in (success, *others))
    assert all(after - before >= 12 for before, after in pairwise(heights)), "names of lines that end alike stand apart"


def test_names_of_coinciding_variants_stand_apart() -> None:
    one, other = marks((name, 0, (10.0, 50.0), ()) for name in "ab")
    assert one.y == other.y == one.label_y == 50
    assert other.label_y - one.label_y >= 12  # the height of a line
