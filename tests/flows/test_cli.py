"""The command line, as far as it needs no server: configuration, plans, refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from dualvla_core.errors import ConfigError
from flows.cli import app, main
from flows.cli.configuration import configure, shipped


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DUALVLA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    return tmp_path / "home"


@pytest.mark.parametrize("preset", shipped("preset"))
def test_every_preset_is_valid(preset: str) -> None:
    assert configure(preset, []).config.name == preset


def test_the_paper_preset_keeps_no_first_frame_and_the_demo_does() -> None:
    assert not configure("paper", []).config.pruning.keep_first_frame
    assert configure("demo", []).config.pruning.keep_first_frame


def test_a_preset_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\ndecode:\n  jpeg_quality: 80\n")
    assert configure(str(path), []).config.decode.jpeg_quality == 80
    path.write_text("- a list\n")
    with pytest.raises(ConfigError, match="holds a list"):
        configure(str(path), [])
    with pytest.raises(ConfigError, match="There is no preset 'nowhere'"):
        configure("nowhere", [])


def test_config_show_names_value_origin_and_meaning() -> None:
    result = CliRunner().invoke(app, ["config", "show", "--preset", "demo", "--set", "decode.jpeg_quality=80"])
    assert result.exit_code == 0
    line = next(line for line in result.output.splitlines() if "decode.jpeg_quality" in line)
    assert "80" in line
    assert "--set decode.jpeg_quality=80" in line
    assert any("preset demo" in line for line in result.output.splitlines() if "keep_first_frame" in line)


def test_a_dry_run_of_nothing_waits_for_the_recording(home: Path) -> None:
    result = CliRunner().invoke(app, ["demo", "--dry-run"])
    assert result.exit_code == 0, result.output
    assert "nothing of this stage is committed yet" in result.output
    assert "waits for record_demonstrations" in result.output
    assert "0 hits" in result.output
    assert not (home / "store" / "artifacts").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "--dry-run", "--force", "decode"], "There is no stage 'decode' to force; the stages are record_"),
        (["run", "--dry-run", "--set", "pruning.rule=all"], "pruning.rule = 'all'"),
        (["curate", "--dry-run", "--dataset", "nowhere"], "There is no folder"),
        (["explain", "3"], "No curated episode begins with '3'"),
        (["view", "3"], "No curated episode begins with '3'"),
        (["export", "flows", "--dry-run"], "flows exists already; give a new or empty folder"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_status_1(
    home: Path,
    arguments: list[str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["dualvla", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["judge", "agreement", "score_trajectories/k"], "exactly one of --human and --other"),
        (["judge", "agreement", "score_trajectories/k", "--human", "none.csv"], "There is no file none.csv"),
        (["judge", "score"], "no rollouts in the store"),
        (["judge", "score", "--rollouts", "train_specialist/k"], "expected STAGE/KEY with a stage of run_rollouts"),
        (["kb", "build"], "no rollouts in the store"),
        (["kb", "show", "build_knowledge_base/k"], "There is no artifact 'build_knowledge_base/k'"),
    ],
)
def test_judging_what_is_not_there_is_refused_in_one_sentence(home: Path, arguments: list[str], told: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, ConfigError)
    assert told in str(result.exception)


def test_knowledge_bases_are_listed(home: Path) -> None:
    result = CliRunner().invoke(app, ["kb", "show"])
    assert result.exit_code == 0
    assert "knowledge base" in result.output


def test_the_benchmarks_of_the_paper_are_listed() -> None:
    result = CliRunner().invoke(app, ["benchmarks", "list"])
    assert result.exit_code == 0
    assert "MMBench_DEV_EN_V11.tsv" in result.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["benchmarks", "score", "p.xlsx", "--data", "mine.tsv"], "'mine' is none of MMMU_DEV_VAL"),
        (["benchmarks", "score", "p.xlsx", "--data", "mine.tsv", "--rule", "dice"], "The rule 'dice' does not fit"),
        (["benchmarks", "show", "nothing"], "There is no artifact 'nothing'"),
        (["compare", "one", "two"], "There is no artifact 'one'"),
        (["results", "one"], "There is no artifact 'one'"),
    ],
)
def test_a_mistake_about_results_is_one_sentence(
    home: Path, arguments: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["dualvla", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert sentence in capsys.readouterr().err


def test_the_paper_preset_has_the_published_ddm_net() -> None:
    network = configure("paper", []).config.events.ddm_net.network
    assert (network.frames, network.width, network.map_channels[-1], network.layers, network.queries) == (
        11,
        512,
        512,
        6,
        5,
    )
    assert not network.centred


def test_a_dry_run_of_a_trained_detector_waits_for_its_own_recording(home: Path) -> None:
    result = CliRunner().invoke(app, ["curate", "--preset", "minimal", "--dry-run", "--set", "events.detector=ddm_net"])
    assert result.exit_code == 0, result.output
    assert "train_event_detector" in result.output
    assert "drawer-close 30000-30001" in result.output


def test_a_dataset_of_ones_own_needs_labels_or_a_detector(home: Path, tmp_path: Path) -> None:
    arguments = ["events", "train", "--dataset", str(tmp_path), "--dry-run"]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, ConfigError)
    assert "events_training.labels" in str(result.exception)
