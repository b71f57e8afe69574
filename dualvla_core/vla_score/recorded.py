"""Verdict tables: how judgements are stored row by row, and the judge that replays them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dualvla_core.errors import ArtifactError, ConfigError
from dualvla_core.evaluation.trajectory import Trajectory
from dualvla_core.schemas import check_schema
from dualvla_core.vla_score.judge import JudgeIdentity, Judgement, MissingVerdictError

VERDICTS_FILE = "verdicts.parquet"

_EVIDENCE = pa.list_(
    pa.struct(
        [
            pa.field("dimension", pa.string()),
            pa.field("name", pa.string()),
            pa.field("value", pa.float64()),
            pa.field("weight", pa.float64()),
            pa.field("why", pa.string()),
        ]
    )
)
_GRADES = [pa.field(name, pa.int32()) for name in ("action", "intention", "reasoning", "alignment")]

VERDICTS = pa.schema(
    [
        pa.field("rollout", pa.int32(), False),
        pa.field("task", pa.string(), False),
        pa.field("seed", pa.int64(), False),
        pa.field("policy_type", pa.string(), False),
        pa.field("trajectory", pa.string(), False),  # digest of what was judged
        pa.field("judge", pa.string(), False),  # its identity, as JSON
        pa.field("success", pa.bool_(), False),
        *_GRADES,  # medians over the repeats, 0 to 10; null where missing, and reasoning and alignment of specialists
        pa.field("thought", pa.string()),
        pa.field("missing", pa.string()),  # why there is no verdict; null where there is one
        pa.field("score", pa.float64()),  # Eq. 8, in [0, 1]
        pa.field("disagreement", pa.float64()),  # of the repeats with their median (points)
        pa.field("evidence", _EVIDENCE, False),
        pa.field("repeats", pa.list_(pa.struct([*_GRADES, pa.field("thought", pa.string())])), False),
        pa.field("prompt_tokens", pa.int64(), False),
        pa.field("completion_tokens", pa.int64(), False),
    ]
)
"""One row per trajectory."""


def trajectory_digest(trajectory: Trajectory) -> str:
    """Names what a judge may look at: words, signals, images and outcome; not where they were stored."""
    words = [trajectory.task, trajectory.instruction, trajectory.policy_type, trajectory.success]
    said = [[each.step, each.text] for each in trajectory.reasoning]
    hashed = hashlib.sha256(json.dumps([words, said, trajectory.max_steps]).encode())
    for track in (trajectory.states, trajectory.actions, *trajectory.objects.values()):
        hashed.update(str(track.shape).encode() + track.astype("<f4").tobytes())
    for frame in trajectory.frames:
        hashed.update(frame.step.to_bytes(4, "big") + hashlib.sha256(frame.image).digest())
    return hashed.hexdigest()[:32]


def judgement_columns(judgement: Judgement) -> dict[str, Any]:
    """What a row says about a judgement."""
    verdict = judgement.verdict
    return {
        **verdict.model_dump(exclude={"evidence"}),
        "disagreement": judgement.disagreement,
        "evidence": [each.model_dump() for each in verdict.evidence],
        "repeats": [each.model_dump(exclude={"evidence"}) for each in judgement.verdicts],
        "prompt_tokens": judgement.prompt_tokens,
        "completion_tokens": judgement.completion_tokens,
    }


def missing_columns(reason: str) -> dict[str, Any]:
    """What a row says where there is no judgement."""
    return {"missing": reason, "evidence": [], "repeats": [], "prompt_tokens": 0, "completion_tokens": 0}


def read_verdicts(path: Path) -> list[dict[str, Any]]:
    """The rows of a verdict table. Raises `ArtifactError` when it cannot be read."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise ArtifactError(f"{path} is no readable verdict table; name a verdicts.parquet of a score.") from error
    check_schema(table.schema, VERDICTS, path.name)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


class RecordedJudge:
    """Implements `Judge` by replaying a verdict table; a trajectory that is not in it has no verdict.

    Raises:
        ConfigError: when no table is named, or it holds the verdicts of several judges.
        ArtifactError: when the table cannot be read.
    """

    def __init__(self, path: str | None) -> None:
        if path is None:
            raise ConfigError("The recorded judge has no verdicts; set score.recorded to a verdicts.parquet.")
        rows = read_verdicts(Path(path))
        identities = {row["judge"] for row in rows}
        if len(identities) != 1:
            raise ConfigError(
                f"{path} holds the verdicts of {len(identities)} judges, expected one; name a table of one judge."
            )
        self.identity = JudgeIdentity.model_validate_json(identities.pop())
        self._rows = {row["trajectory"]: row for row in rows if row["missing"] is None}

    def judge(self, trajectory: Trajectory) -> Judgement:
        """See `Judge.judge`."""
        row = self._rows.get(trajectory_digest(trajectory))
        if row is None:
            raise MissingVerdictError(
                f"The recorded verdicts hold none for {trajectory.task} with seed {trajectory.seed}."
            )
        repeats = [dict(each) for each in row["repeats"]]
        repeats[0]["evidence"] = row["evidence"]
        return Judgement.model_validate(
            {"verdicts": repeats, **{name: row[name] for name in ("prompt_tokens", "completion_tokens")}}
        )
