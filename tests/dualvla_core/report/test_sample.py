from __future__ import annotations

import pytest

from dualvla_core.report.model import EpisodeRow
from dualvla_core.report.sample import choose_film_strips


def _rows(*found: tuple[str, float | None]) -> list[EpisodeRow]:
    zeros = dict.fromkeys(("boundaries", "gripper_flips", "words_before", "words_after", "reasoning_frames"), 0)
    return [
        EpisodeRow(
            episode=f"e{index}",
            dataset="d",
            episode_index=index,
            task=task,
            instruction="i",
            split="train",
            seconds=1,
            frames=10,
            considered=10,
            kept=0,
            ratio=ratio,
            **zeros,
        )
        for index, (task, ratio) in enumerate(found)
    ]


def test_the_median_of_each_task_and_the_two_extremes() -> None:
    rows = _rows(("b", 0.9), ("a", 0.1), ("a", 0.3), ("a", 0.2), ("b", 0.5), ("b", 0.05))
    assert [(choice.episode, choice.why) for choice in choose_film_strips(rows, 8)] == [
        ("e3", "median retention of its task"),
        ("e4", "median retention of its task"),
        ("e5", "lowest retention of all"),
        ("e0", "highest retention of all"),
    ]


def test_one_episode_can_stand_for_several_things() -> None:
    (choice, other) = choose_film_strips(_rows(("a", 0.1), ("b", 0.2)), 8)
    assert (choice.episode, choice.why) == ("e0", "median retention of its task, lowest retention of all")
    assert other.why == "median retention of its task, highest retention of all"


def test_more_tasks_than_room_are_sampled_at_even_distances() -> None:
    rows = _rows(*[(f"task{index:02d}", 0.1 + index / 100) for index in range(20)])
    chosen = [choice.episode for choice in choose_film_strips(rows, 5)]
    assert chosen == ["e0", "e10", "e19"]


@pytest.mark.parametrize("most", [1, 2, 3])
def test_never_more_than_asked_for(most: int) -> None:
    rows = _rows(("a", 0.1), ("a", 0.2), ("a", 0.3), ("b", 0.4), ("c", 0.5))
    assert len(choose_film_strips(rows, most)) == most


def test_equal_or_unknown_retention_has_no_extremes() -> None:
    rows = _rows(("a", None), ("a", 0.2), ("a", 0.2))
    assert [(choice.episode, choice.why) for choice in choose_film_strips(rows, 8)] == [
        ("e1", "median retention of its task")
    ]


def test_nothing_to_choose() -> None:
    assert choose_film_strips([], 8) == ()
    assert choose_film_strips(_rows(("a", 0.1)), 0) == ()
