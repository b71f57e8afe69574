"""The commands that start a training's processes, on this machine and on others."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from dualvla_core.errors import ConfigError
from dualvla_core.training.config import TrainingExecution
from tasks.training_launch import Host, agent_commands, hosts_of, launched, processes_of

JOB = Path("/shared/job.json")


@pytest.fixture
def hostfile(tmp_path: Path) -> Path:
    path = tmp_path / "hosts"
    path.write_text("# this one\n127.0.0.1 slots=4\n\nnode-b slots=2  # the small one\nnode-c\n")
    return path


def execution(hostfile: Path, **settings: object) -> TrainingExecution:
    shell = f"{shlex.quote(sys.executable)} -q"  # any program that is there
    return TrainingExecution.model_validate({"hostfile": hostfile, "processes": 3, "remote_shell": shell, **settings})


def test_one_machine_needs_no_meeting() -> None:
    (command,) = agent_commands(TrainingExecution(processes=2), JOB)
    assert command[1:] == [
        *("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"),
        *("-m", "tasks.training_worker", "/shared/job.json"),
    ]


def test_hosts_are_read_with_their_slots(hostfile: Path) -> None:
    told = execution(hostfile)
    assert hosts_of(told) == [Host("127.0.0.1", 4), Host("node-b", 2), Host("node-c", 3)]
    assert processes_of(told) == 9


def test_each_machine_gets_an_agent_and_others_get_it_through_the_shell(
    hostfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "ib 0")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    first, *others = agent_commands(execution(hostfile, threads=5), JOB)
    (port,) = [word for word in first if word.startswith("--master_port=")]
    assert first[:5] == [sys.executable, "-m", "torch.distributed.run", "--nnodes=3", "--master_addr=127.0.0.1"]
    assert first[6:8] == ["--node_rank=0", "--nproc_per_node=4"]
    for rank, (name, slots, command) in enumerate(zip(("node-b", "node-c"), (2, 3), others, strict=True), 1):
        assert command[:3] == [sys.executable, "-q", name]
        words = shlex.split(command[3])
        assert words[:5] == ["cd", str(Path.cwd()), "&&", "exec", "env"]
        settings, run = words[5:11], words[11:]
        assert settings[0] == "NCCL_SOCKET_IFNAME=ib 0"
        assert {"OMP_NUM_THREADS=5", f"PYTHONPATH={Path(__file__).parents[2]}"} <= set(settings[1:])
        assert run[3:8] == [*first[3:5], port, f"--node_rank={rank}", f"--nproc_per_node={slots}"]
        assert run[-1] == "/shared/job.json"
        assert "secret" not in command[3]


def test_a_port_that_was_chosen_is_kept(hostfile: Path) -> None:
    free = next(word for word in agent_commands(execution(hostfile), JOB)[0] if "master_port" in word).split("=")[1]
    assert f"--master_port={free}" in agent_commands(execution(hostfile, port=int(free)), JOB)[1][-1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "names no machine"),
        ("a slots=none", r"has the line 'a slots=none'; expected `name slots=processes`"),
        ("a slots=0", "has the line 'a slots=0'"),
        ("a gpus=2", "has the line 'a gpus=2'"),
        ("a slots=2 more", "has the line 'a slots=2 more'"),
        ("192.0.2.1 slots=1\nb slots=1", "'192.0.2.1', but this one cannot listen there"),
    ],
)
def test_a_hostfile_that_cannot_be_used_is_one_sentence(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "hosts").write_text(content)
    with pytest.raises(ConfigError, match=message):
        agent_commands(execution(tmp_path / "hosts"), JOB)


def test_a_hostfile_or_shell_that_is_not_there_is_named(hostfile: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"hostfile .*nowhere cannot be read \(No such file"):
        hosts_of(execution(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="no program 'no-such-shell' to reach them"):
        agent_commands(execution(hostfile, remote_shell="no-such-shell -x"), JOB)


def test_when_one_agent_fails_the_others_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = [sys.executable, "-c", "import time; print('waiting', flush=True); time.sleep(600)"]
    fails = [sys.executable, "-c", "import sys; print('failing', flush=True); sys.exit(3)"]
    monkeypatch.setattr("tasks.training_launch.agent_commands", lambda *_: [waits, fails])
    with launched(TrainingExecution(), JOB) as training:
        said = {line.strip() for line in training.lines}
        assert training.wait() != 0
    assert "failing" in said
    assert {agent.returncode for agent in training.agents} == {-15, 3}


def test_the_lines_of_processes_that_speak_at_once_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    speaks = "import sys; [print(sys.argv[1] * 50, flush=True) for _ in range(5000)]"
    monkeypatch.setattr(
        "tasks.training_launch.agent_commands", lambda *_: [[sys.executable, "-c", speaks, word] for word in "ab"]
    )
    with launched(TrainingExecution(), JOB) as training:
        assert {line.rstrip() for line in training.lines} == {"a" * 50, "b" * 50}


def test_nothing_is_left_when_the_launcher_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = [sys.executable, "-c", "import time; time.sleep(600)"]
    monkeypatch.setattr("tasks.training_launch.agent_commands", lambda *_: [waits, waits])
    with pytest.raises(KeyboardInterrupt), launched(TrainingExecution(), JOB) as training:
        raise KeyboardInterrupt
    assert all(agent.returncode == -15 for agent in training.agents)
