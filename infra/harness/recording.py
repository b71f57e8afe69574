"""The recording of one job: ``vla-eval``'s database of results and its work queue, seen as planned episodes."""
# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from dualvla_core.errors import ArtifactError, DependencyError
from dualvla_core.evaluation.config import RolloutConfig
from infra.harness.finished import FinishedEpisode
from infra.harness.job import PolicySpec

try:
    from vla_eval.recording import RecordingStore, db_path_for_eval
except ImportError as error:
    raise DependencyError(
        f"Rollouts need vla-eval ({error}): install the extra with `pip install 'dualvla[simulation]'`."
    ) from error

RUN = "rollouts"
"""The evaluation's name in the database; the work folder, not the name, tells jobs apart."""

_IDENTITY_FILE = "rollouts.json"
_SINCE = """
    SELECT rowid, task_name, episode_id, sid, eid, status, metrics, failure_reason, failure_detail
    FROM episode_results WHERE rowid > ? ORDER BY rowid
"""

Episode: TypeAlias = tuple[str, int]
"""Task and seed."""


@dataclass(frozen=True)
class Outcome:
    """The last attempt at an episode."""

    session: str
    episode: str
    status: str
    metrics: dict[str, Any]
    error: str | None
    """Why it could not be played to its end; none when it was, successful or not."""


class Recording:
    """What is planned, played and left to play in a work folder.

    Raises:
        ArtifactError: when the folder holds the rollouts of another configuration or policy.
    """

    def __init__(self, folder: Path, config: RolloutConfig, policy: PolicySpec) -> None:
        self.folder = folder
        self.config = config
        self.frames = folder / "frames"
        self._planned: list[Episode] = list(config.episodes)
        self._queue = f"{RUN}-{config.benchmark}"
        self._outcomes: dict[Episode, Outcome] = {}
        self._newest = 0  # row of the database that was read
        self._claim_folder(policy)

    @property
    def _database(self) -> Path:
        return Path(db_path_for_eval(self.folder, RUN))

    def _claim_folder(self, policy: PolicySpec) -> None:
        identity = {"config": self.config.model_dump(mode="json"), "policy": policy.identity}
        path = self.folder / _IDENTITY_FILE
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(identity, indent=1), encoding="utf-8")
        elif json.loads(path.read_text(encoding="utf-8")) != identity:
            raise ArtifactError(
                f"The work folder {self.folder.name!r} holds rollouts of another configuration or policy; give each "
                "its own, or empty this one."
            )

    def outcomes(self) -> Mapping[Episode, Outcome]:
        """The last attempt at each planned episode that was attempted; only what is new is read."""
        if self._database.exists():
            with self._read() as rows:
                found = rows.execute(_SINCE, (self._newest,)).fetchall()
            for row in found:
                self._newest = row["rowid"]
                self._outcomes[row["task_name"], self.config.first_seed + row["episode_id"]] = Outcome(
                    row["sid"], row["eid"], row["status"], json.loads(row["metrics"]), _error(row)
                )
        return self._outcomes

    def finished(self) -> set[Episode]:
        """The planned episodes that were played to their end."""
        return {episode for episode, outcome in self.outcomes().items() if outcome.error is None}

    def export(self, episode: Episode) -> FinishedEpisode:
        """An episode that was played to its end, with all that is kept of it."""
        outcome = self.outcomes()[episode]
        return FinishedEpisode(
            task=episode[0],
            number=episode[1] - self.config.first_seed,
            session=outcome.session,
            episode=outcome.episode,
            status=outcome.status,
            metrics=outcome.metrics,
            steps=self.steps(outcome),
            frames=self.frames_of(outcome).read_bytes(),
        )

    def restore(self, found: FinishedEpisode) -> None:
        """Take over an episode that was finished elsewhere, unless it was played here already."""
        if (found.task, self.config.first_seed + found.number) in self.finished():
            return
        self.frames.mkdir(parents=True, exist_ok=True)
        (self.frames / f"{found.episode}.arrow").write_bytes(found.frames)
        with closing(RecordingStore(self._database)) as store, store.transaction():
            store.upsert_step_rows(found.session, found.episode, dict(enumerate(found.steps)))
            store.upsert_episode_result(
                sid=found.session,
                eid=found.episode,
                eval_id=RUN,
                task_name=found.task,
                episode_id=found.number,
                status=found.status,
                metrics=found.metrics,
                steps=len(found.steps),
                elapsed_sec=0.0,
                context={},
                jsonl_path="",
                failure_reason=None,
                failure_detail=None,
            )

    def frames_of(self, outcome: Outcome) -> Path:
        """The Arrow file of the moments kept of an attempt."""
        return self.frames / f"{outcome.episode}.arrow"

    def unfinished(self) -> dict[Episode, str | None]:
        """The planned episodes that were not played to their end, with the error of those that were attempted."""
        outcomes = self.outcomes()
        return {
            episode: outcomes[episode].error if episode in outcomes else None
            for episode in self._planned
            if episode not in outcomes or outcomes[episode].error is not None
        }

    def requeue(self) -> None:
        """Put exactly the unfinished episodes up for play; no process may be playing."""
        tasks = [index for index, _ in enumerate(self.config.tasks) for _ in self.config.seeds]
        unfinished = self.unfinished()
        with closing(RecordingStore(self._database)) as store:
            store.seed_queue(self._queue, tasks)
            # whoever died between saving an episode and ticking it off leaves it claimed for ever
            for item, episode in enumerate(self._planned):
                if episode not in unfinished:
                    store.finish(self._queue, item)
            store.release([(self._queue, item) for item, episode in enumerate(self._planned) if episode in unfinished])

    def steps(self, outcome: Outcome) -> list[dict[str, Any]]:
        """The rows recorded during an attempt, in order."""
        with self._read() as rows:
            found = rows.execute(
                "SELECT fields FROM step_rows WHERE sid = ? AND eid = ? ORDER BY step_id",
                (outcome.session, outcome.episode),
            ).fetchall()
        return [json.loads(row["fields"]) for row in found]

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._database, timeout=60)) as connection:
            connection.row_factory = sqlite3.Row
            yield connection


def _error(row: sqlite3.Row) -> str | None:
    if row["status"] != "error":
        return None
    lines = (row["failure_detail"] or "").strip().splitlines()
    return f"{row['failure_reason']}: {lines[-1]}" if lines else str(row["failure_reason"])
