from __future__ import annotations

from pathlib import Path

import pytest

from dualvla_core.report.context import ReportContext, TrainedPolicy
from dualvla_core.report.model import DatasetFacts
from dualvla_core.report.results.card import ModelCard, cell, render_markdown, write_cards
from dualvla_core.report.results.measures import measure_policies

from .conftest import MakePolicy

FACTS = DatasetFacts(name="blocks", layout="LeRobot v3.0", robot="arm", embodiment="arm")


def cards_of(policies: list[TrainedPolicy], output: Path) -> tuple[ModelCard, ...]:
    output.mkdir()
    context = ReportContext(title="Blocks", datasets=(FACTS,), episodes=(), policies=tuple(policies))
    return write_cards(policies, measure_policies(policies, asked=True).policies, context, output)


@pytest.fixture
def policies(make_policy: MakePolicy) -> list[TrainedPolicy]:
    specialist = make_policy("specialist", outcomes={"reach": "SSSf"})
    origins = {"initial": "key-of-specialist", "action_teacher": "key-of-specialist", "reasoning_teacher": "elsewhere"}
    student = make_policy(
        "dualvla", "dualvla", {"reach": "SSff"}, {"colour": (3, 4)}, origins=origins, pruning=("dual",)
    )
    return [specialist, student]


def test_a_card_says_what_where_from_and_how_good(policies: list[TrainedPolicy], tmp_path: Path) -> None:
    cards = cards_of(policies, tmp_path / "out")
    assert [card.path for card in cards] == ["cards/specialist.md", "cards/dualvla.md"]
    text = (tmp_path / "out" / "cards" / "dualvla.md").read_text()
    for words in (
        "# DualVLA, a policy trained on blocks",
        "| Checkpoint | `key-of-dualvla` |",
        "| Begun from | Specialist, `key-of-specialist` |",
        "| Action teacher | Specialist, `key-of-specialist` |",
        "| Reasoning teacher | `elsewhere` |",
        "It learned from 2 episodes of blocks",
        "in 10 optimizer steps it saw 512 robot frames and 64 questions",  # 8 steps of 64, 2 of 32
        "what the pruning rule `dual` kept",
        "- Closed-loop success: **50.0\u00a0% [15.0, 85.0]** of 4 episodes",
        "- Right answers to held-out questions: **75.0\u00a0% [30.1, 95.4]** of 4 questions",
        "- Open-loop action error: **0.25** of half the 1 % to 99 % range",
        "- Rule score (proxy): **12.5 [",
        "| robot flow | 1.5 |",
        "| training.multimodal_every | 5 |",
        "It was trained once, with seed 7",
        "| train dualvla | 1 | `key-of-dualvla` |",
    ):
        assert words in text, words


def test_a_specialist_begins_at_random_and_its_missing_measure_has_a_reason(
    policies: list[TrainedPolicy], tmp_path: Path
) -> None:
    cards_of(policies, tmp_path / "out")
    text = (tmp_path / "out" / "cards" / "specialist.md").read_text()
    assert "| Begun from | random weights |" in text
    assert "It read none of the reasoning in them." in text
    assert "- Right answers to held-out questions: not measured; trained to act without words" in text


def test_the_training_episodes_are_listed_once_for_all(policies: list[TrainedPolicy], tmp_path: Path) -> None:
    cards_of(policies, tmp_path / "out")
    (listed,) = (tmp_path / "out" / "cards").glob("episodes-*.txt")
    assert listed.read_text().split() == ["a" * 64, "b" * 64]  # the third is held out
    assert f"]({listed.name})" in (tmp_path / "out" / "cards" / "dualvla.md").read_text()


def test_the_same_policies_give_the_same_bytes(policies: list[TrainedPolicy], tmp_path: Path) -> None:
    assert cards_of(policies, tmp_path / "one") == cards_of(policies, tmp_path / "two")
    text = (tmp_path / "one" / "cards" / "dualvla.md").read_text()
    assert text == (tmp_path / "two" / "cards" / "dualvla.md").read_text()
    assert str(tmp_path) not in text


def test_the_page_shows_the_card_with_links_that_lead_beside_it(policies: list[TrainedPolicy], tmp_path: Path) -> None:
    html = cards_of(policies, tmp_path / "out")[1].html
    assert "<h3>DualVLA, a policy trained on blocks</h3>" in html
    assert '<a href="cards/episodes-' in html
    assert "<td><code>key-of-dualvla</code></td>" in html


def test_text_of_the_data_stays_text() -> None:
    assert cell("a|b\n*c* [d](e)") == "a\\|b \\*c\\* \\[d\\](e)"
    html = render_markdown(f"| {cell('<script>x</script> | y')} |\n|---|\n| <img src=x> |\n")
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;x" in html
