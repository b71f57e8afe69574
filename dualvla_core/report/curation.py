"""The report stage: from curated segments to ``report.json`` and one self-contained ``report.html``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.report.context import CuratedSegment, ReportContext
from dualvla_core.report.film_strip import FilmStrip, draw_film_strip
from dualvla_core.report.measures import Curation, episode_rows, labels, read_curation, retention_by, rules, totals
from dualvla_core.report.model import CurationReport
from dualvla_core.report.multimodal import Question, read_multimodal
from dualvla_core.report.page import render_page
from dualvla_core.report.sample import choose_film_strips
from dualvla_core.report.statistics import read_statistics


def curation_report(
    sources: Sequence[CuratedSegment], context: ReportContext, output: Path, progress: Progress = silent
) -> Summary:
    """Write ``report.json`` (`CurationReport`) and ``report.html`` into ``output``.

    Args:
        sources: The curated segments; every episode of the context lies in one of them or was skipped.
        context: What the tables do not hold.
        output: An empty folder.
        progress: Told the number of film strips drawn.

    Raises:
        ArtifactError: if a table is missing, has another schema, or lacks an episode of the context.
    """
    curation = read_curation(sources, context)
    report = measure(curation, context)
    questions: tuple[Question, ...] = ()
    if context.multimodal is not None:
        summary, questions = read_multimodal(context.multimodal, context.report)
        report = report.model_copy(update={"multimodal": summary})
    film_strips = _film_strips(sources, curation, context, report, progress)
    (output / "report.json").write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    (output / "report.html").write_text(render_page(report, film_strips, questions), encoding="utf-8")
    return {
        "episodes": report.totals.episodes,
        "skipped": report.totals.skipped,
        "frames": report.totals.frames,
        "kept": report.totals.kept,
        "retention": report.totals.ratio if report.totals.ratio is not None else 0.0,
        "basis": report.basis,
    }


def measure(curation: Curation, context: ReportContext) -> CurationReport:
    """Every number of the report but the multimodal set's."""
    rows = episode_rows(curation, context)
    return CurationReport(
        title=context.title,
        datasets=context.datasets,
        basis=curation.basis,
        totals=totals(rows, len(curation.skipped)),
        labels=labels(curation),
        by_dataset=retention_by(rows, lambda row: row.dataset),
        by_task=retention_by(rows, lambda row: row.task),
        by_split=tuple(sorted(retention_by(rows, lambda row: row.split), key=lambda entry: entry.name != "train")),
        rules=rules(curation),
        episodes=rows,
        skipped=curation.skipped,
        film_strips=choose_film_strips(rows, context.report.film_strips),
        parameters=context.parameters,
        lineage=context.lineage,
        statistics=read_statistics(context.statistics) if context.statistics is not None else (),
    )


def _film_strips(
    sources: Sequence[CuratedSegment],
    curation: Curation,
    context: ReportContext,
    report: CurationReport,
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
