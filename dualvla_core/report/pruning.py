"""What pruning did: what every rule would have kept, the text before and after, and the most surprising episodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from dualvla_core.episodes.segment import Segment
from dualvla_core.pruning.config import PruningConfig
from dualvla_core.pruning.measures import TextMeasure, retention_by_rule, surprising_episodes, text_change
from dualvla_core.report.context import CuratedSegment, ReportContext
from dualvla_core.report.measures import Curation
from dualvla_core.report.model import EpisodeRow, ReasoningText, RetentionByRule, SurprisingEpisode, TextChange

_STAGE = "prune_reasoning"
_FEWEST = 4  # episodes; the median of fewer says little
_USUAL = 2.0  # robust standard deviations; what lies nearer surprises nobody


def retention_of_rules(curation: Curation, context: ReportContext) -> tuple[RetentionByRule, ...]:
    """What each rule would keep of the episodes of every dataset and every task, and of all of them (named ``""``).

    Counted with the first set of pruning parameters; the labels are those of the decision table.
    """
    told = context.parameters.get(_STAGE, ({},))[0]
    pruning = PruningConfig.model_validate({name: told[name] for name in ("keep_first_frame", "seed") if name in told})
    table = curation.decisions.to_arrow()
    names = table["episode"].to_pylist()
    groups: dict[tuple[str, str], set[str]] = {("all", ""): set(names)}
    for entry in context.episodes:
        if entry.episode in curation.locations:
            groups.setdefault(("dataset", entry.dataset), set()).add(entry.episode)
            groups.setdefault(("task", entry.task), set()).add(entry.episode)
    found = []
    for (kind, name), members in groups.items():
        rows = table.filter(pa.array([episode in members for episode in names], pa.bool_()))
        if len(rows):
            shares = retention_by_rule(rows, keep_first_frame=pruning.keep_first_frame, seed=pruning.seed)
            found.append(RetentionByRule(kind=kind, name=name, ratios=dict(shares)))
    return tuple(sorted(found, key=lambda entry: (("all", "dataset", "task").index(entry.kind), entry.name)))


def reasoning_change(sources: Sequence[CuratedSegment], curation: Curation) -> TextChange | None:
    """The reasoning of all reported episodes before and after pruning; None where there is none."""
    texts, kept = [], []
    verdicts = dict(curation.decisions.group_by("episode", maintain_order=True).agg("keep").iter_rows())
    segments = [Segment(source.segment, source.reasoning) for source in sources]
    for episode, place in curation.locations.items():
        texts.append(segments[place.segment].signals(place.position)["reasoning"])
        kept.append(np.array(verdicts[episode], np.bool_))
    if not texts:
        return None
    change = text_change(pa.concat_arrays(texts), np.concatenate(kept))
    if not change.before.frames:
        return None
    return TextChange(before=_text(change.before), after=_text(change.after))


def surprises(rows: Sequence[EpisodeRow], most: int) -> tuple[SurprisingEpisode, ...]:
    """The ``most`` episodes that deviate most from others of their task.

    None where there are too few to compare, and none that deviate by less than two robust standard deviations.
    """
    told = [row for row in rows if row.ratio is not None]
    if len(told) < _FEWEST:
        return ()
    quantities = {
        "retention": [row.ratio or 0.0 for row in told],
        "boundaries per second": [row.boundaries / row.seconds for row in told],
        "length in seconds": [row.seconds for row in told],
    }
    found = surprising_episodes(quantities, [row.episode for row in told], [row.task for row in told], most)
    return tuple(SurprisingEpisode(**each._asdict()) for each in found if abs(each.deviation) >= _USUAL)


def _text(measure: TextMeasure) -> ReasoningText:
    return ReasoningText(**measure._asdict())
