"""The page a reviewer looks at beside the review file."""

from __future__ import annotations

from pathlib import Path

from dualvla_core.evaluation.trajectory import read_trajectories
from dualvla_core.report.pages import render
from dualvla_core.vla_score.config import FramesConfig
from dualvla_core.vla_score.judge import DIMENSIONS, JudgeIdentity
from dualvla_core.vla_score.knowledge import read_proposals
from dualvla_core.vla_score.prompt import shown

REVIEW_PAGE = "review.html"

_FRAMES = FramesConfig(count=8, size=160, jpeg_quality=80)


def write_review_page(base: Path, output: Path) -> None:
    """Write ``review.html``: every attempt's images, words, proposed grades and corrections."""
    rows = read_proposals(base)
    entries = [
        {
            "trajectory": trajectory,
            "row": row,
            "judge": str(JudgeIdentity.model_validate_json(row["judge"])),
            "images": shown(trajectory, _FRAMES),
        }
        for trajectory, row in zip(read_trajectories(base), rows, strict=True)
    ]
    reviewed = sum(row["reviewer"] is not None for row in rows)
    page = render("vla_score", "review.html", entries=entries, reviewed=reviewed, dimensions=DIMENSIONS)
    (output / REVIEW_PAGE).write_text(page, encoding="utf-8")
