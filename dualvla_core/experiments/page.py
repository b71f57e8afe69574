"""The page of an experiment, its numbers as JSON, and a section in Markdown for people's own documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from dualvla_core.experiments.outcome import read_seed, read_trials
from dualvla_core.experiments.summary import MEASURES, Difference, Estimate, ExperimentSummary, summarise
from dualvla_core.params import Params, Summary
from dualvla_core.report import svg
from dualvla_core.report.pages import render
from dualvla_core.report.svg import Scale

PAGE, NUMBERS, SECTION = "experiment.html", "experiment.json", "section.md"
WIDTH, HEIGHT = 560.0, 320.0
_LABEL_GAP = 14.0
_CURVES = ("success", "accuracy", "reasoning")

Place: TypeAlias = tuple[float, float]


class ExperimentText(Params):
    """What the page says about an experiment beside its numbers."""

    title: str
    question: str
    """What it asks, in a sentence."""
    claim: str
    """What the paper reports, for orientation."""
    variants: dict[str, str]
    """What each variant is."""


@dataclass(frozen=True)
class Mark:
    """A variant in a drawing of `WIDTH` x `HEIGHT`: its mean, and each seed's place."""

    name: str
    number: int
    x: float
    y: float
    seeds: tuple[tuple[float, float], ...]
    label_y: float
    """Where its name stands: beside it, but clear of the other names."""


@dataclass(frozen=True)
class Curve:
    """One measure over the steps of fine-tuning, drawn with others on the same axes."""

    measure: str
    path: str
    """Through the means of what was fine-tuned on raw data."""
    marks: tuple[Mark, ...]
    """Those means, by steps."""
    subject: Mark | None
    """The experiment's subject, which is off the line."""
    label_y: float
    """Where its name stands, right of the last mark."""


def publish(
    references: Sequence[str],
    text: ExperimentText,
    folders: Sequence[Path],
    setting: Mapping[str, Any],
    output: Path,
) -> Summary:
    """Write ``experiment.html``, ``experiment.json`` and ``section.md``.

    Args:
        references: the variants others are compared with, the one that the experiment is about first.
        text: what is asked, and what the variants are.
        folders: of every seed's `measure_seed`, at least one.
        setting: what was held fixed, as shown.
        output: an empty folder.
    """
    found = summarise(references, [read_seed(each) for each in folders], [read_trials(each) for each in folders])
    measures = [name for name in MEASURES if any(name in each for each in found.variants.values())]
    (output / NUMBERS).write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    (output / SECTION).write_text(section(text, found, measures), encoding="utf-8")
    page = render(
        "experiments",
        "experiment.html",
        text=text,
        found=found,
        measures=measures,
        units=MEASURES,
        setting=setting,
        plane=plane(found),
        curves=curves(found) if found.experiment == "degeneration" else (),
        width=WIDTH,
        height=HEIGHT,
        estimated=estimated,
        signed=signed,
        solved_alone=solved_alone,
    )
    (output / PAGE).write_text(page, encoding="utf-8")
    means = {f"{name}.{measure}": each.mean for name, row in found.variants.items() for measure, each in row.items()}
    return {"experiment": found.experiment, "seeds": len(found.seeds), **means}


def plane(found: ExperimentSummary) -> tuple[Mark, ...]:
    """Variants in the plane of success (right) and visual questions answered rightly (up), both 0 to 100."""
    x, y = Scale(0, 100, 0, WIDTH), Scale(0, 100, HEIGHT, 0)
    return marks(
        (
            name,
            number,
            (x(row["success"].mean), y(row["accuracy"].mean)),
            tuple((x(a), y(b)) for a, b in zip(row["success"].seeds, row["accuracy"].seeds, strict=True)),
        )
        for number, (name, row) in enumerate(found.variants.items())
        if "success" in row and "accuracy" in row
    )


def marks(placed: Iterable[tuple[str, int, Place, tuple[Place, ...]]]) -> tuple[Mark, ...]:
    """Marks of ``(name, number, place of the mean, places of the seeds)``, their names kept apart."""
    placed = list(placed)
    heights = svg.apart([place[1] for _, _, place, _ in placed], _LABEL_GAP, HEIGHT)
    return tuple(
        Mark(name, number, *place, seeds, label_y)
        for (name, number, place, seeds), label_y in zip(placed, heights, strict=True)
    )


def curves(found: ExperimentSummary) -> tuple[Curve, ...]:
    """Success, questions and reasoning over the steps of fine-tuning on raw data, 0 to 100, where there are any."""
    x = Scale(0, max(found.fine_tuning.values()), 0, WIDTH)
    y = Scale(0, 100, HEIGHT, 0)
    drawn: dict[str, list[Mark]] = {}
    for measure in _CURVES:
        for number, (name, row) in enumerate(found.variants.items()):
            if measure in row:
                steps, height = x(found.fine_tuning[name]), y(row[measure].mean)
                seeds = tuple((steps, y(value)) for value in row[measure].seeds)
                drawn.setdefault(measure, []).append(Mark(name, number, steps, height, seeds, height))
    subject = found.references[0]
    lines = {
        measure: sorted((each for each in placed if each.name != subject), key=lambda mark: mark.x)
        for measure, placed in drawn.items()
    }
    ends = svg.apart([line[-1].y if line else HEIGHT for line in lines.values()], _LABEL_GAP, HEIGHT)
    return tuple(
        Curve(
            measure,
            svg.polyline(
                [found.fine_tuning[each.name] for each in line],
                [found.variants[each.name][measure].mean for each in line],
                x,
                y,
            ),
            tuple(line),
            next((each for each in drawn[measure] if each.name == subject), None),
            end,
        )
        for (measure, line), end in zip(lines.items(), ends, strict=True)
    )


def section(text: ExperimentText, found: ExperimentSummary, measures: Sequence[str]) -> str:
    """The findings in Markdown."""
    seeds = ", ".join(map(str, found.seeds))
    lines = [f"## {text.title}", "", text.question, "", f"The paper: {text.claim}", ""]
    told = "95 % t intervals over their means" if len(found.seeds) > 1 else "one seed has no interval"
    lines += [f"Training seeds {seeds}; {told}.", ""]
    rows = [
        [name, *(estimated(row[measure]) if measure in row else "–" for measure in measures)]
        for name, row in found.variants.items()
    ]
    lines += _table(["variant", *(MEASURES[name] for name in measures)], rows)
    for reference in found.references:
        lines += ["", f"Differences from *{reference}*:", ""]
        against = [each for each in found.differences if each.reference == reference]
        differences = [[each.variant, each.measure, signed(each), solved_alone(each), each.verdict] for each in against]
        lines += _table(["variant", "measure", "difference", "solved alone", "verdict"], differences)
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def estimated(value: Estimate) -> str:
    """A mean with its interval, if it has one."""
    decimals = 3 if abs(value.mean) < 1 else 1
    if value.low is None or value.high is None:
        return f"{value.mean:.{decimals}f}"
    return f"{value.mean:.{decimals}f} [{value.low:.{decimals}f}, {value.high:.{decimals}f}]"


def signed(difference: Difference) -> str:
    """A difference with its interval, if it has one."""
    value = difference.estimate
    decimals = 3 if difference.measure == "open_loop" else 1
    if value.low is None or value.high is None:
        return f"{value.mean:+.{decimals}f}"
    return f"{value.mean:+.{decimals}f} [{value.low:+.{decimals}f}, {value.high:+.{decimals}f}]"


def solved_alone(difference: Difference) -> str:
    """How many episodes only the variant and only the reference solved, with McNemar's p; of success only."""
    if difference.p_value is None:
        return "–"
    return f"{difference.better} : {difference.worse}, p = {difference.p_value:.2g}"
