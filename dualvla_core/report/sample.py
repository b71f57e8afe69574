"""Which episodes the page draws in full: the median of each task, the extremes of retention, and what surprises."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dualvla_core.report.formats import significant
from dualvla_core.report.model import EpisodeRow, FilmStripChoice, SurprisingEpisode


def choose_film_strips(rows: Sequence[EpisodeRow], most: int) -> tuple[FilmStripChoice, ...]:
    """At most ``most`` episodes, each with the sentence that says what it was chosen for.

    One per task: the episode of median retention. Where there are more tasks than room, tasks at even distances in
    alphabetical order. Then the lowest and the highest retention of all.
    """
    if not rows or most == 0:
        return ()
    tasks = sorted({row.task for row in rows})
    room = max(1, most - 2)
    if len(tasks) > room:
        tasks = [tasks[index] for index in np.linspace(0, len(tasks) - 1, room).round().astype(int)]
    why: dict[str, list[str]] = {}
    for task in tasks:
        members = _by_retention([row for row in rows if row.task == task])
        why.setdefault(members[(len(members) - 1) // 2].episode, []).append("median retention of its task")
    ordered = _by_retention([row for row in rows if row.ratio is not None])
    if ordered and ordered[0].ratio != ordered[-1].ratio:
        why.setdefault(ordered[0].episode, []).append("lowest retention of all")
        why.setdefault(ordered[-1].episode, []).append("highest retention of all")
    chosen = list(why.items())[:most]
    return tuple(FilmStripChoice(episode=episode, why=", ".join(reasons)) for episode, reasons in chosen)


def add_surprising(
    chosen: Sequence[FilmStripChoice], surprising: Sequence[SurprisingEpisode]
) -> tuple[FilmStripChoice, ...]:
    """The chosen episodes followed by the surprising ones, each once, with every reason it is drawn for."""
    why = {choice.episode: [choice.why] for choice in chosen}
    for each in surprising:
        side = "above" if each.deviation > 0 else "below"
        value, median = significant(each.value, 3), significant(each.median, 3)
        reason = f"surprising: {each.quantity} {value}, {side} the median {median}"
        why.setdefault(each.episode, []).append(reason)
    return tuple(FilmStripChoice(episode=episode, why=", ".join(reasons)) for episode, reasons in why.items())


def _by_retention(rows: Sequence[EpisodeRow]) -> list[EpisodeRow]:
    return sorted(rows, key=lambda row: (-1.0 if row.ratio is None else row.ratio, row.dataset, row.episode_index))
