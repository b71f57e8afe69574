"""The results as the page shows them, through the door of the stage."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.benchmarks.catalogue import CATALOGUE
from dualvla_core.evaluation.benchmarks.tables import OVERVIEW, OVERVIEW_FILE, write_table
from dualvla_core.params import Summary
from dualvla_core.report.context import ReportContext, TrainedPolicy
from dualvla_core.report.model import DatasetFacts, Report
from dualvla_core.report.stage import write_report

from ..page_reader import Page
from .conftest import MakePolicy

FACTS = DatasetFacts(name="blocks", layout="LeRobot v3.0", robot="arm", embodiment="arm")


def written(policies: list[TrainedPolicy], output: Path) -> tuple[Summary, Report, str]:
    output.mkdir()
    context = ReportContext(title="DualVLA on blocks", datasets=(FACTS,), episodes=(), policies=tuple(policies))
    summary = write_report([], context, output)
    report = Report.model_validate_json((output / "report.json").read_text(encoding="utf-8"))
    return summary, report, (output / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def policies(make_policy: MakePolicy) -> list[TrainedPolicy]:
    return [
        make_policy("specialist", outcomes={"reach": "SSSSSSSSSf"}),
        make_policy("blind", outcomes={"reach": "ffffffffff"}),
        make_policy("generalist", "generalist", {"reach": "SSSSSfffff"}, {"colour": (3, 4)}),
        make_policy("dualvla", "dualvla", {"reach": "SSSSSSffff"}, {"colour": (2, 4)}),
    ]


def test_results_come_first_and_the_curation_stays(policies: list[TrainedPolicy], tmp_path: Path) -> None:
    summary, report, html = written(policies, tmp_path / "out")
    words = Page(html).words
    assert "DualVLA solves 60.0 % of its episodes and answers 50.0 % of the held-out questions." in words
    order = ("Results", "Training", "VLA Score", "Rollouts", "Model cards", "Curation", "Dataset", "Lineage")
    places = [html.index(f"<h2>{heading}</h2>") for heading in order]
    assert places == sorted(places)
    assert "Specialist above Blind" in words
    assert "Rule score (proxy)" in words
    assert "Right answers to held-out questions of Specialist, Blind: not measured; trained to act" in words
    assert report.results is not None
    assert [policy.name for policy in report.results.policies] == ["specialist", "blind", "generalist", "dualvla"]
    assert (summary["blind.success_rate"], summary["blind.success_rate_low"]) == (0.0, 0.0)
    assert "blind.accuracy" not in summary  # absent, not zero


def test_the_folder_needs_nothing_else(policies: list[TrainedPolicy], tmp_path: Path) -> None:
    _, _, html = written(policies, tmp_path / "out")
    page = Page(html)
    beside = [link for link in page.links if not link.startswith(("data:", "#"))]
    assert set(beside) >= {f"cards/{policy.name}.md" for policy in policies}
    assert all((tmp_path / "out" / link).is_file() for link in beside)
    assert page.tags.count("video") == 7  # the blind policy has no success
    assert html.count('<figure class="start ') == 10  # every planned episode
    assert html.count('class="start policy-last is-solved"') == 6
    assert all(f'id="{link[1:]}"' in html for link in page.links if link.startswith("#"))


def test_any_policies_by_any_name(make_policy: MakePolicy, tmp_path: Path) -> None:
    several = [make_policy(f"seed_{number}", "generalist", {"reach": "Sf"}) for number in range(8)]
    _, report, html = written(several, tmp_path / "out")
    assert report.results is not None
    assert report.results.findings == ()
    assert "Seed 7 solves 50.0 % of its episodes." in Page(html).words


def test_open_loop_alone_is_a_result(make_policy: MakePolicy, tmp_path: Path) -> None:
    _, _, html = written([make_policy("dualvla", "dualvla")], tmp_path / "out")
    words = Page(html).words
    assert "DualVLA’s actions are 0.25 of half their range from those shown." in words
    assert "there are no scored rollouts of it" in words
    assert "<h2>Rollouts</h2>" not in html
    _, _, html = written([make_policy("none", open_loop=None)], tmp_path / "unmeasured")
    assert "None was trained and not measured." in Page(html).words


def test_what_a_policy_says_is_never_markup(make_policy: MakePolicy, tmp_path: Path) -> None:
    attack = "</li><script>alert(1)</script><img src=x onerror=alert(1)>"
    policy = make_policy("dualvla", "dualvla", {"reach": "S"}, {attack: (1, 1)}, said=(attack,) * 4)
    _, _, html = written([policy], tmp_path / "out")
    page = Page(html)
    assert page.tags.count("script") == 1
    assert "onerror" not in page.attributes
    assert page.words.count("alert(1)") == 6  # twice each in the timeline, the kind of question and the card


def test_the_same_artifacts_give_the_same_bytes(policies: list[TrainedPolicy], tmp_path: Path) -> None:
    for name in ("one", "two"):
        written(policies, tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(files) == 2 + len(policies) + 1
    for file in files:
        content = (tmp_path / "one" / file).read_bytes()
        assert content == (tmp_path / "two" / file).read_bytes()
        assert str(tmp_path).encode() not in content


def test_rollouts_that_cannot_be_read(policies: list[TrainedPolicy], tmp_path: Path) -> None:
    assert policies[0].rollouts is not None
    (policies[0].rollouts / "frames.arrow").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"frames\.arrow of 'rollouts' cannot be read; run the rollouts again"):
        written(policies, tmp_path / "out")


def test_benchmarks_are_shown_with_what_they_miss(policies: list[TrainedPolicy], tmp_path: Path) -> None:
    rows = [
        {"benchmark": "MMStar", "items": 4, "missing": 0, "unparsed": 1, "score": 50.0, "low": 15.0, "high": 85.0},
        {"benchmark": "MMVet", "items": 2, "missing": 2, "unparsed": 0, "score": None, "low": None, "high": None},
    ]
    write_table(rows, OVERVIEW, tmp_path / OVERVIEW_FILE)
    measured = [*policies[:-1], policies[-1].model_copy(update={"benchmarks": tmp_path})]
    _, report, html = written(measured, tmp_path / "out")
    assert report.results is not None
    assert [each.model_dump() for each in report.results.policies[-1].benchmarks] == rows
    words = Page(html).words
    assert "Benchmark DualVLA MMStar 50.0 [15.0, 85.0] n = 4 1 without an option" in words
    assert "MMVet incomplete 2 of 2 without a score" in words
    assert "Mean of the paper" not in words
    assert "| MMVet | incomplete | 2 | 2 |" in (tmp_path / "out" / "cards" / "dualvla.md").read_text()
    assert "Multimodal benchmarks" not in written(policies, tmp_path / "without")[2]


def test_policies_stand_beside_one_another_on_each_benchmark(policies: list[TrainedPolicy], tmp_path: Path) -> None:
    measured = policies[:2]
    for policy, score in zip(policies[2:], (40.0, 60.0), strict=True):
        folder = tmp_path / f"benchmarks of {policy.name}"
        folder.mkdir()
        names = [*CATALOGUE, "mine"]
        counts = {"items": 1000, "missing": 0, "unparsed": 0}
        rows = [
            {"benchmark": name, **counts, "score": score + number, "low": score, "high": score + 9}
            for number, name in enumerate(names if policy.name == "dualvla" else names[1:])
        ]
        write_table(rows, OVERVIEW, folder / OVERVIEW_FILE)
        measured.append(policy.model_copy(update={"benchmarks": folder}))
    _, report, html = written(measured, tmp_path / "out")
    words = Page(html).words
    first, second = list(CATALOGUE)[:2]
    assert "Benchmark Generalist DualVLA" in words
    assert f"{second} 40.0 [40.0, 49.0] n = 1 000 61.0 [60.0, 69.0] n = 1 000" in words
    assert "Mean of the paper’s eight incomplete 63.5" in words  # 60 to 67, the local one apart
    assert f"{first} not measured 60.0" in words
    assert report.results is not None
    assert [each.mean_of_eight for each in report.results.policies] == [None, None, None, 63.5]
