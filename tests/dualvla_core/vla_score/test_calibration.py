from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core.vla_score.calibration import calibrate
from dualvla_core.vla_score.config import BootstrapConfig
from dualvla_core.vla_score.judge import JudgeIdentity, Judgement, Verdict
from dualvla_core.vla_score.ratings import RatingsError, read_human_ratings
from dualvla_core.vla_score.recorded import VERDICTS, judgement_columns
from dualvla_core.vla_score.validation import AgreementReport

BOOTSTRAP = BootstrapConfig(samples=200)
COLUMNS = ["trajectory", "reviewer", "kind", "reasoning", "action", "intention", "alignment"]


def scores(folder: Path, model: str, shift: int = 0, repeats: int = 1) -> Path:
    """Verdicts 0 to 10 on eleven trajectories; repeats differ by a point."""
    folder.mkdir()
    identity = JudgeIdentity(judge="vlm", model=model, prompt="p", settings="s").model_dump_json()
    rows: list[dict[str, Any]] = []
    for number in range(11):
        grades = [min(10, max(0, number + shift + extra)) for extra in range(repeats)]
        verdicts = tuple(Verdict(action=g, intention=g, reasoning=g, alignment=g, thought="") for g in grades)
        what = {"rollout": number, "task": "reach", "seed": number, "policy_type": "dualvla", "success": True}
        told = {"trajectory": f"t{number}", "judge": identity, "missing": None, "score": 0.5}
        rows.append({**what, **told, **judgement_columns(Judgement(verdicts=verdicts))})
    pq.write_table(pa.Table.from_pylist(rows, VERDICTS), folder / "verdicts.parquet")
    return folder


def ratings(path: Path, kind: str = "human", reviewer: str = "Ada", grade: str | None = None) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for number in range(11):
            writer.writerow([f"t{number}", reviewer, kind, *[str(number) if grade is None else grade] * 4])
    return path


def test_people_are_compared_with_the_judge(tmp_path: Path) -> None:
    summary = calibrate(BOOTSTRAP, scores(tmp_path / "a", "m"), None, ratings(tmp_path / "r.csv"), tmp_path)
    assert summary["against"] == "human"
    assert summary["action.kappa"] == pytest.approx(1)
    report = AgreementReport.model_validate_json((tmp_path / "agreement.json").read_bytes())
    assert (report.other, report.unmatched, report.disagreement) == ("Ada", 0, None)
    assert "With people: Ada" in (tmp_path / "agreement.html").read_text()


def test_another_judge_validates_nothing(tmp_path: Path) -> None:
    first, second = scores(tmp_path / "a", "m", repeats=2), scores(tmp_path / "b", "n", shift=1)
    summary = calibrate(BOOTSTRAP, first, second, None, tmp_path)
    assert summary["against"] == "judge"
    assert summary["action.mean difference"] == pytest.approx(10 / 11)
    page = (tmp_path / "agreement.html").read_text()
    assert "no validation" in page
    assert "nothing here is human" in page
    assert "The judge's repeats lie" in page


@pytest.mark.parametrize("changes", [{"kind": "model"}, {"kind": ""}, {"reviewer": " "}])
def test_ratings_by_a_model_are_never_human(tmp_path: Path, changes: dict[str, str]) -> None:
    with pytest.raises(RatingsError, match="is a person's rating"):
        read_human_ratings(ratings(tmp_path / "r.csv", **changes))


def test_ratings_are_checked(tmp_path: Path) -> None:
    with pytest.raises(RatingsError, match=r"line 2, reasoning is '7\.5'"):
        read_human_ratings(ratings(tmp_path / "r.csv", grade="7.5"))
    twice = ratings(tmp_path / "r.csv").read_text()
    (tmp_path / "r.csv").write_text(twice + "t3,Bo,human,1,1,1,1\n")
    with pytest.raises(RatingsError, match="line 13 rates 't3' a second time"):
        read_human_ratings(tmp_path / "r.csv")


def test_one_thing_is_compared_with(tmp_path: Path) -> None:
    first = scores(tmp_path / "a", "m")
    for other, human in ((None, None), (first, ratings(tmp_path / "r.csv"))):
        with pytest.raises(RatingsError, match="exactly one"):
            calibrate(BOOTSTRAP, first, other, human, tmp_path)
