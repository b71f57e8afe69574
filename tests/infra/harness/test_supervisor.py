"""Rollouts in real processes, with the simulator taken out."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.config import RolloutConfig
from dualvla_core.evaluation.policy import PolicyError
from dualvla_core.evaluation.protocol import read_protocol
from dualvla_core.evaluation.trajectory import read_trajectories
from dualvla_core.params import Summary
from infra.harness import supervisor
from infra.harness.job import Crew, PolicySpec
from infra.harness.supervisor import IncompleteRolloutsError, run_rollouts
from tests.infra.harness.fakes import FAULT

MakeSpec = Callable[..., PolicySpec]
Run = Callable[..., Summary]

pytestmark = pytest.mark.usefixtures("no_simulator")


@pytest.fixture
def run(config: RolloutConfig, tmp_path: Path) -> Run:
    def play(policy: PolicySpec, processes: int = 2, output: str = "output", retries: int = 2) -> Summary:
        folder = tmp_path / output
        folder.mkdir()
        work, timings = tmp_path / "work", tmp_path / "timings"
        timings.mkdir(exist_ok=True)
        return run_rollouts(
            config, policy, folder, timings, work=work, crew=Crew(players=processes, rounds=retries + 1)
        )

    return play


def attempts(work: Path) -> list[tuple[str, int, str]]:
    with sqlite3.connect(work / "recording-rollouts.sqlite") as database:
        rows = database.execute("SELECT task_name, episode_id, status FROM episode_results").fetchall()
    return sorted(rows)


TABLES = ("rollouts.parquet", "steps.parquet", "frames.arrow", "protocol.json")
PLAYED_ONCE = [("door-open", 0, "success"), ("door-open", 1, "fail"), ("reach", 0, "success"), ("reach", 1, "fail")]


def test_rollouts_become_tables(run: Run, spec: MakeSpec, config: RolloutConfig, tmp_path: Path) -> None:
    summary = run(spec())
    assert summary["episodes"] == 4
    assert summary["success_rate"] == summary["reach.success_rate"] == 0.5
    assert 0 < float(summary["reach.success_low"]) < 0.5 < float(summary["reach.success_high"]) < 1
    assert read_protocol(tmp_path / "output").tasks == config.tasks
    assert not (tmp_path / "output" / "solved.parquet").exists()  # an episode ends at success: its length says when
    found = list(read_trajectories(tmp_path / "output"))
    assert [(each.task, each.seed, each.success, each.steps) for each in found] == [
        ("reach", 6, True, 9),
        ("reach", 7, False, 20),
        ("door-open", 6, True, 9),
        ("door-open", 7, False, 20),
    ]
    assert found[1].states[:, 1].tolist() == list(range(21))
    assert [frame.step for frame in found[1].frames] == [0, 8, 20]  # uniform among 0, 4, 8, 12, 16, 20
    steps = pq.read_table(tmp_path / "output" / "steps.parquet").slice(0, 9)
    assert steps["replanned"].to_pylist() == [step % 4 == 0 for step in range(9)]
    latencies = pq.read_table(tmp_path / "timings" / "latencies.parquet").to_pylist()
    assert [row["step"] for row in latencies if row["rollout"] == 1] == [0, 4, 8, 12, 16]
    assert all(row["latency_s"] >= 0 for row in latencies)


def test_a_finished_recording_is_imported_without_playing(
    run: Run, spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(spec(), processes=1)
    monkeypatch.delattr(supervisor, "_play")
    assert run(spec(), output="again") == first
    assert attempts(tmp_path / "work") == PLAYED_ONCE
    for name in TABLES:
        assert (tmp_path / "output" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.parametrize("crew", [Crew(players=3, servers=2), Crew(players=2, servers=1, batch=2)])
def test_how_many_play_and_serve_changes_no_outcome(
    crew: Crew, run: Run, spec: MakeSpec, config: RolloutConfig, tmp_path: Path
) -> None:
    run(spec(), processes=1)
    (tmp_path / "many").mkdir()
    work = tmp_path / "other_work"
    run_rollouts(config, spec("SharedPolicy"), tmp_path / "many", tmp_path / "timings", work=work, crew=crew)
    assert len(list(work.glob("server*_ready.json"))) == crew.servers
    for name in TABLES:
        assert (tmp_path / "output" / name).read_bytes() == (tmp_path / "many" / name).read_bytes()


@pytest.mark.parametrize("kind", ["kill", "raise"])
def test_a_player_that_fails_plays_its_episode_again(
    kind: str, run: Run, spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FAULT, f"{kind}:6:{tmp_path / 'flag'}")
    assert run(spec())["success_rate"] == 0.5
    assert (tmp_path / "flag").exists()
    played = attempts(tmp_path / "work")
    assert [row for row in played if row[2] != "error"] == PLAYED_ONCE  # what was finished stays so
    assert len(played) - len(PLAYED_ONCE) == (kind == "raise")  # a dead process could not even say so


@pytest.mark.slow
def test_a_player_that_hangs_is_ended_and_plays_its_episode_again(
    run: Run, spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "STALL_TIMEOUT_S", 10.0)
    monkeypatch.setenv(FAULT, f"hang:6:{tmp_path / 'flag'}")
    assert run(spec())["success_rate"] == 0.5
    assert (tmp_path / "flag").exists()


def test_a_server_that_is_killed_is_started_again(run: Run, spec: MakeSpec, tmp_path: Path) -> None:
    assert run(spec("DyingPolicy", chunk=6, flag=str(tmp_path / "flag")))["success_rate"] == 0.5
    assert (tmp_path / "flag").exists()
    played = [row for row in attempts(tmp_path / "work") if row[2] != "error"]
    assert played == PLAYED_ONCE


def test_a_policy_that_always_raises_gives_no_success_rate(run: Run, spec: MakeSpec) -> None:
    with pytest.raises(IncompleteRolloutsError) as caught:
        run(spec("RaisingPolicy", chunk=6), retries=1)
    message = str(caught.value)
    assert message.startswith("4 of 4 planned episodes could not be played to their end, so there is no success rate:")
    assert "reach/6 (model_act: " in message
    assert "ValueError: the weights are sour" in message
    assert "and 1 more" in message


def test_a_policy_that_cannot_be_loaded_is_told_at_once(run: Run, spec: MakeSpec) -> None:
    started = time.monotonic()
    unloadable = spec("UnloadablePolicy").model_copy(update={"arguments": {}})
    with pytest.raises(PolicyError, match="could not be loaded: FileNotFoundError: no such checkpoint"):
        run(unloadable)
    assert time.monotonic() - started < 60


def test_players_that_cannot_start_say_why(run: Run, spec: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(supervisor.BENCHMARKS, "metaworld", "tests.infra.harness.fakes:Nobody")
    with pytest.raises(IncompleteRolloutsError, match=r"reach/6 \(not begun\).*last words.*Nobody"):
        run(spec(), retries=0)


def test_an_interrupted_run_is_continued(run: Run, spec: MakeSpec, config: RolloutConfig, tmp_path: Path) -> None:
    class InterruptionError(Exception):
        pass

    def interrupt(done: int, total: int) -> None:
        if 0 < done < total:
            raise InterruptionError

    output, timings = tmp_path / "first", tmp_path / "timings"
    output.mkdir()
    timings.mkdir()
    many = config.model_copy(update={"episodes_per_task": 25})
    with pytest.raises(InterruptionError):
        run_rollouts(many, spec(), output, timings, work=tmp_path / "work", crew=Crew(players=1), progress=interrupt)
    before = {row[:2] for row in attempts(tmp_path / "work")}
    assert 0 < len(before) < 50
    summary = run_rollouts(many, spec(), output, timings, work=tmp_path / "work")
    assert (summary["episodes"], summary["success_rate"]) == (50, 26 / 50)
    played = attempts(tmp_path / "work")
    assert len(played) == len({row[:2] for row in played}) == 50  # none twice


def test_a_lost_machine_loses_no_finished_episode(
    spec: MakeSpec, no_simulator: None, config: RolloutConfig, tmp_path: Path
) -> None:
    class LossError(Exception):
        pass

    class Kept:
        def __init__(self, most: int) -> None:
            self.episodes: dict[str, bytes] = {}
            self.most = most

        def load(self) -> Iterator[bytes]:
            return iter(self.episodes.values())

        def save(self, name: str, episode: bytes) -> None:
            self.episodes[name] = episode
            if len(self.episodes) == self.most:
                raise LossError

    def play(name: str, kept: Kept) -> None:
        for folder in ("output", "timings"):
            (tmp_path / name / folder).mkdir(parents=True)
        folders = [tmp_path / name / folder for folder in ("output", "timings")]
        run_rollouts(config, spec(), *folders, work=tmp_path / name / "work", crew=Crew(players=1), kept=kept)

    kept = Kept(most=2)
    with pytest.raises(LossError):
        play("lost", kept)
    before = dict(kept.episodes)
    assert len(before) == 2
    kept.most = 99
    play("other machine", kept)  # which has nothing on its disk
    assert {name: kept.episodes[name] for name in before} == before  # none was played again
    assert len(kept.episodes) == 4
    play("undisturbed", Kept(most=99))
    for name in TABLES:
        continued = tmp_path / "other machine" / "output" / name
        assert continued.read_bytes() == (tmp_path / "undisturbed" / "output" / name).read_bytes()


def test_another_job_does_not_continue_it(run: Run, spec: MakeSpec) -> None:
    run(spec(), processes=1)
    with pytest.raises(ArtifactError, match="another configuration or policy"):
        run(spec("RaisingPolicy"), output="again")
