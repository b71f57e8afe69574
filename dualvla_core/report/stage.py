"""The report stage: ``report.json``, one self-contained ``report.html``, and a model card per trained policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.report.context import CuratedSegment, ReportContext
from dualvla_core.report.film_strip import FilmStrip, draw_film_strip
from dualvla_core.report.measures import Curation, episode_rows, labels, read_curation, retention_by, rules, totals
from dualvla_core.report.model import Report
from dualvla_core.report.multimodal import Question, read_multimodal
from dualvla_core.report.page import ResultDrawings, render_page
from dualvla_core.report.pruning import reasoning_change, retention_of_rules, surprises
from dualvla_core.report.results.card import write_cards
from dualvla_core.report.results.curves import draw_curves
from dualvla_core.report.results.measures import measure_policies
from dualvla_core.report.results.model import PolicyResult
from dualvla_core.report.results.outcomes import draw_outcomes
from dualvla_core.report.results.plane import place
from dualvla_core.report.results.rollouts import draw_rollouts
from dualvla_core.report.sample import add_surprising, choose_film_strips
from dualvla_core.report.statistics import read_statistics


def write_report(
    sources: Sequence[CuratedSegment], context: ReportContext, output: Path, progress: Progress = silent
) -> Summary:
    """Write ``report.json`` (`Report`) and ``report.html`` into ``output``; with policies, their ``cards/`` too.

    Args:
        sources: The curated segments; every episode of the context lies in one of them or was skipped.
        context: What the tables do not hold.
        output: An empty folder.
        progress: Told the number of film strips drawn.

    Raises:
        ArtifactError: if a table is missing, has another schema, or lacks an episode of the context.
    """
    # measured first: a policy that cannot be read should not cost the drawing of every film strip
    results = measure_policies(context.policies, asked=context.multimodal is not None) if context.policies else None
    drawings = None
    if results is not None:
        drawings = ResultDrawings(
            plane=place(results.policies),
            curves=draw_curves(context.policies),
            outcomes=draw_outcomes(context.policies),
            rollouts=draw_rollouts(context.policies, context.report),
            cards=write_cards(context.policies, results.policies, context, output),
        )
    curation = read_curation(sources, context)
    report = measure(curation, context, sources).model_copy(update={"results": results})
    questions: tuple[Question, ...] = ()
    if context.multimodal is not None:
        summary, questions = read_multimodal(context.multimodal, context.report)
        report = report.model_copy(update={"multimodal": summary})
    film_strips = _film_strips(sources, curation, context, report, progress)
    (output / "report.json").write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    page = render_page(report, film_strips, questions, drawings)
    (output / "report.html").write_text(page, encoding="utf-8")
    return {
        "episodes": report.totals.episodes,
        "skipped": report.totals.skipped,
        "frames": report.totals.frames,
        "kept": report.totals.kept,
        "retention": report.totals.ratio if report.totals.ratio is not None else 0.0,
        "basis": report.basis,
        **{name: value for result in (results.policies if results else ()) for name, value in _headline(result)},
    }


def _headline(result: PolicyResult) -> Iterator[tuple[str, float]]:
    """What was measured of a policy, by dotted name."""
    shares = {"success_rate": result.success, "accuracy": result.accuracy}
    shares["rule_score"] = result.score.score if result.score else None
    for name, share in shares.items():
        if share is not None:
            yield f"{result.name}.{name}", share.value
            yield f"{result.name}.{name}_low", share.low
            yield f"{result.name}.{name}_high", share.high
    if result.open_loop is not None:
        yield f"{result.name}.open_loop_error", result.open_loop.error


def measure(curation: Curation, context: ReportContext, sources: Sequence[CuratedSegment]) -> Report:
    """Every number of the curation but the multimodal set's."""
    rows = episode_rows(curation, context)
    surprising = surprises(rows, context.report.surprising)
    return Report(
        title=context.title,
        datasets=context.datasets,
        basis=curation.basis,
        totals=totals(rows, len(curation.skipped)),
        labels=labels(curation),
        by_dataset=retention_by(rows, lambda row: row.dataset),
        by_task=retention_by(rows, lambda row: row.task),
        by_split=tuple(sorted(retention_by(rows, lambda row: row.split), key=lambda entry: entry.name != "train")),
        rules=rules(curation),
        rules_compared=retention_of_rules(curation, context),
        text=reasoning_change(sources, curation),
        surprising=surprising,
        episodes=rows,
        skipped=curation.skipped,
        film_strips=add_surprising(choose_film_strips(rows, context.report.film_strips), surprising),
        parameters=context.parameters,
        lineage=context.lineage,
        statistics=read_statistics(context.statistics) if context.statistics is not None else (),
    )


def _film_strips(
    sources: Sequence[CuratedSegment],
    curation: Curation,
    context: ReportContext,
    report: Report,
    progress: Progress,
) -> list[FilmStrip]:
    rows = {row.episode: row for row in report.episodes}
    drawn: list[FilmStrip] = []
    for choice in report.film_strips:
        place, row = curation.locations[choice.episode], rows[choice.episode]
        phases = context.phases.get(row.dataset)
        source = sources[place.segment]
        drawn.append(draw_film_strip(source, place.position, row, choice.why, phases, context.report))
        progress(len(drawn), len(report.film_strips))
    return drawn
