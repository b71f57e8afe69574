# mypy: disable-error-code="import-untyped, no-any-return"
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from vla_eval.recording import RecordingStore

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.config import RolloutConfig
from infra.harness.job import PolicySpec
from infra.harness.recording import Recording

EPISODES = [("reach", 6), ("reach", 7), ("door-open", 6), ("door-open", 7)]


@pytest.fixture
def recording(config: RolloutConfig, spec: Callable[..., PolicySpec], tmp_path: Path) -> Recording:
    return Recording(tmp_path / "work", config, spec())


def record(
    recording: Recording, task: str, number: int, status: str, detail: str | None = None, eid: str = "e"
) -> None:
    store = RecordingStore(recording._database)
    store.upsert_episode_result(
        sid="s",
        eid=f"{eid}-{task}-{number}",
        eval_id=recording._queue,
        task_name=task,
        episode_id=number,
        status=status,
        metrics={"success": status == "success"},
        steps=1,
        elapsed_sec=0,
        context={},
        jsonl_path="",
        failure_reason="env_step" if status == "error" else None,
        failure_detail=detail,
    )
    store.close()


def claim_all(recording: Recording) -> list[int]:
    """What a single player would be given, in order."""
    store = RecordingStore(recording._database)
    items = []
    while (item := store.claim(recording._queue, 0, None, 1)) is not None:
        items.append(item)
        store.finish(recording._queue, item)
    store.close()
    return items


def test_everything_is_unfinished_at_first(recording: Recording) -> None:
    assert recording.unfinished() == dict.fromkeys(EPISODES)
    assert recording.finished() == set()
    recording.requeue()
    assert claim_all(recording) == [0, 1, 2, 3]


def test_a_failed_episode_is_finished_and_an_errored_one_is_not(recording: Recording) -> None:
    record(recording, "reach", 0, "success")
    record(recording, "reach", 1, "fail")
    record(recording, "door-open", 0, "error", "Traceback\n  somewhere\nRuntimeError: boom\n")
    assert len(recording.finished()) == 2
    assert recording.unfinished() == {("door-open", 6): "env_step: RuntimeError: boom", ("door-open", 7): None}


def test_the_last_attempt_counts(recording: Recording) -> None:
    record(recording, "reach", 0, "error", eid="first")
    assert recording.outcomes()["reach", 6].error == "env_step"
    record(recording, "reach", 0, "success", eid="second")
    outcome = recording.outcomes()["reach", 6]
    assert (outcome.error, outcome.episode) == (None, "second-reach-0")


def test_exactly_the_unfinished_episodes_are_put_up_again(recording: Recording) -> None:
    recording.requeue()
    assert claim_all(recording) == [0, 1, 2, 3]  # all ticked off ...
    record(recording, "reach", 0, "success")
    record(recording, "door-open", 0, "error")
    record(recording, "door-open", 1, "fail")
    recording.requeue()
    assert claim_all(recording) == [1, 2]  # ... one of them errored, of another nothing was saved


def test_an_episode_claimed_by_a_dead_player_can_be_claimed_by_another(recording: Recording) -> None:
    recording.requeue()
    store = RecordingStore(recording._database)
    assert store.claim(recording._queue, 1, None, 2) == 2
    store.close()
    recording.requeue()
    assert claim_all(recording) == [0, 1, 2, 3]


def test_an_episode_saved_but_not_ticked_off_is_not_played_again(recording: Recording) -> None:
    recording.requeue()
    record(recording, "reach", 0, "success")
    recording.requeue()
    assert claim_all(recording) == [1, 2, 3]


def test_a_work_folder_belongs_to_one_job(
    recording: Recording, config: RolloutConfig, spec: Callable[..., PolicySpec]
) -> None:
    Recording(recording.folder, config, spec())
    moved = spec(chunk=99)  # another path of the same checkpoint, say
    Recording(recording.folder, config, moved)
    with pytest.raises(ArtifactError, match="another configuration or policy"):
        Recording(recording.folder, config.model_copy(update={"max_steps": 5}), spec())
    with pytest.raises(ArtifactError, match="another configuration or policy"):
        Recording(recording.folder, config, spec("RaisingPolicy"))
