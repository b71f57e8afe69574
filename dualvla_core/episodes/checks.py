"""`dualvla doctor`: is a dataset what it says it is, before anything is computed from it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from dualvla_core.episodes.examination import Examined, Quality, examine
from dualvla_core.episodes.reader import EpisodeReader, open_dataset
from dualvla_core.errors import ConfigError, DatasetError, EpisodeError, one_episode
from dualvla_core.progress import Progress, silent

Status: TypeAlias = Literal["ok", "warning", "error"]

_REASONS = {
    "structure": "every episode and its files can be found and read",
    "counts": "rows are as many as declared, and numbered without gaps",
    "time": "timestamps increase",
    "alignment": "every row has its frame",
    "values": "no number is missing, NaN or infinite",
    "language": "instructions can be read",
    "video": "videos are whole",
    "images": "images are whole",
}
"""What holds of a dataset where no episode fails for the reason `EpisodeError.about`."""

_PLACEHOLDERS = {"", "valid", "none", "null", "test", "todo", "n/a"}
_JUMP = 10.0  # times the usual largest step of a dimension
_SHORTEST = 3  # frames; below, there is no acceleration
_CLOCK_SHARE = 0.01  # of 1/fps; a median step that deviates more is another frame rate
_TURN = 4 * np.pi  # rad; no joint turns further, so larger numbers are degrees
_REACH = 5.0  # m; no hand reaches further, so larger numbers are millimetres
_SLACK = 0.2  # of the gripper's range, beyond which its numbers do not fit their description


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, what was found, and in which episodes (the dataset's numbers)."""

    name: str
    status: Status
    finding: str
    episodes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    """Everything that was found about a dataset."""

    layout: str
    embodiment: str
    checks: tuple[Check, ...]
    qualities: tuple[Quality, ...]

    @property
    def is_sound(self) -> bool:
        """Whether no check found an error."""
        return all(check.status != "error" for check in self.checks)


def diagnose(dataset: Path, embodiment: str | None = None, progress: Progress = silent) -> Diagnosis:
    """Read every episode of the folder ``dataset`` without decoding images, and check it.

    A dataset that cannot be opened at all is an error of the check "structure", not an exception.
    """
    try:
        reader = open_dataset(dataset, embodiment)
    except (DatasetError, ConfigError) as error:
        return Diagnosis("not recognised", "", (Check("structure", "error", str(error)),), ())
    examined: list[Examined] = []
    failures: dict[str, dict[int, str]] = defaultdict(dict)
    indices = reader.episode_indices()
    for done, index in enumerate(indices):
        progress(done, len(indices))
        try:
            with one_episode():
                examined.append(examine(reader, index))
        except EpisodeError as error:
            failures[error.about][index] = str(error)
    progress(len(indices), len(indices))
    checks = [_declared(reader), *(_readable(about, failures[about]) for about in _REASONS)]
    checks += [check(reader, examined) for check in _CHECKS] if examined else []
    qualities = tuple(each.quality for each in examined)
    return Diagnosis(reader.layout, reader.embodiment.name, tuple(checks), qualities)


def _declared(reader: EpisodeReader) -> Check:
    if not reader.episode_indices():
        return Check("declared", "error", "The dataset lists no episode.")
    if reader.warnings:
        return Check("declared", "warning", " ".join(reader.warnings))
    return Check("declared", "ok", "The dataset holds what it declares.")


def _readable(about: str, failures: dict[int, str]) -> Check:
    if not failures:
        return Check(about, "ok", f"{_REASONS[about][0].upper()}{_REASONS[about][1:]}.")
    reasons = Counter(failures.values())
    first = reasons.most_common(1)[0][0]
    more = f" Other episodes fail for {len(reasons) - 1} other reasons." if len(reasons) > 1 else ""
    return Check(about, "error", f"{first}{more}", tuple(failures))


def _found(
    name: str, found: Sequence[Examined], wrong: str, right: str, status: Status = "warning", more: str = ""
) -> Check:
    """A check that names the episodes in which something was found; ``{n}`` in ``wrong`` is how many."""
    if not found:
        return Check(name, "ok", right)
    episodes = tuple(each.quality.episode_index for each in found)
    return Check(name, status, wrong.format(n=len(found)) + more, episodes)


def _frame_rate(reader: EpisodeReader, examined: Sequence[Examined]) -> Check:
    def off(each: Examined) -> bool:
        steps = np.diff(each.times)
        return bool(steps.size and abs(np.median(steps) * reader.fps - 1) > _CLOCK_SHARE)

    found = [each for each in examined if off(each)]
    wrong = f"In {{n}} episodes the usual step of time is not 1/{reader.fps:g} s, as the dataset's frame rate says."
    return _found("fps", found, wrong, f"Time goes on by 1/{reader.fps:g} s a frame.")


def _constant_actions(_reader: EpisodeReader, examined: Sequence[Examined]) -> Check:
    found = [each for each in examined if each.action_range is not None and not each.action_range.any()]
    found = [each for each in found if each.quality.frames > 1]
    return _found("constant actions", found, "{n} episodes repeat one action throughout.", "Actions change.")


def _jumping_actions(_reader: EpisodeReader, examined: Sequence[Examined]) -> Check:
    usual = [each.usual_step for each in examined if each.usual_step is not None]
    if not usual or len({len(each) for each in usual}) > 1:
        return Check("jumping actions", "ok", "There are no actions to compare.")
    limit = _JUMP * np.median(usual, axis=0)

    def jumps(each: Examined) -> bool:
        return each.action_step is not None and bool(((each.action_step > limit) & (limit > 0)).any())

    wrong = f"{{n}} episodes hold a step of an action more than {_JUMP:g} times as large as is usual."
    return _found("jumping actions", [each for each in examined if jumps(each)], wrong, "No action jumps.")


def _angles(_reader: EpisodeReader, examined: Sequence[Examined]) -> Check:
    found = [each for each in examined if each.largest_angle > _TURN]
    largest = max((each.largest_angle for each in found), default=0.0)
    more = f" The largest is {largest:.4g}: degrees? Then say so in the embodiment (joint_unit or angle_unit: deg)."
    return _found("angles", found, "{n} episodes hold angles beyond two turns in rad.", "Angles are in rad.", more=more)


def _positions(_reader: EpisodeReader, examined: Sequence[Examined]) -> Check:
    found = [each for each in examined if each.largest_position > _REACH]
    largest = max((each.largest_position for each in found), default=0.0)
    more = f" The largest is {largest:.4g}: millimetres? Then say so in the embodiment (position_unit: mm)."
    wrong = f"{{n}} episodes hold positions beyond {_REACH:g} m."
    return _found("positions", found, wrong, "Positions are within reach.", more=more)


def _gripper_range(_reader: EpisodeReader, examined: Sequence[Examined]) -> Check:
    measured = [each for each in examined if each.gripper is not None]
    if not measured:
        return Check("gripper range", "ok", "The state holds no gripper.")

    def outside(each: Examined) -> bool:
        return each.gripper is not None and bool((np.abs(each.gripper - 0.5) > 0.5 + _SLACK).any())

    wrong = "In {n} episodes the gripper goes beyond its closed_value or open_value in the embodiment; correct them."
    right = "The gripper stays between closed_value and open_value."
    return _found("gripper range", [each for each in measured if outside(each)], wrong, right)


def _gripper_polarity(_reader: EpisodeReader, examined: Sequence[Examined]) -> Check:
    """Most manipulation begins with an open hand: one that is closed first and open later hints at a swapped pair."""
    measured = [each for each in examined if each.gripper is not None and np.ptp(each.gripper, axis=0).any()]
    if not measured:
        return Check("gripper polarity", "ok", "The gripper never moves, so its polarity cannot be told.")
    swapped = [
        each
        for each in measured
        if each.gripper is not None and bool((each.gripper[0] < each.gripper.mean(axis=0)).all())
    ]
    wrong = (
        "{n} episodes begin more closed than they go on: either this robot rests with a closed hand, or closed_value "
        "and open_value are swapped in the embodiment."
    )
    found = swapped if len(swapped) > 0.8 * len(measured) else []
    return _found("gripper polarity", found, wrong, "Hands begin open, as they usually do.")


def _instructions(_reader: EpisodeReader, examined: Sequence[Examined]) -> Check:
    found = [each for each in examined if each.instruction.strip().lower() in _PLACEHOLDERS]
    wrong = "{n} episodes have no instruction, or a placeholder; a policy learns no language from them."
    return _found("instructions", found, wrong, "Every episode has an instruction.")


def _duplicates(_reader: EpisodeReader, examined: Sequence[Examined]) -> Check:
    first: dict[str, int] = {}
    found = [
        each
        for each in examined
        if first.setdefault(each.quality.episode, each.quality.episode_index) != each.quality.episode_index
    ]
    wrong = "{n} episodes repeat an earlier one; each is used once."
    return _found("duplicates", found, wrong, "No episode occurs twice.")


def _static(_reader: EpisodeReader, examined: Sequence[Examined]) -> Check:
    found = [each for each in examined if not each.moves]
    return _found("static", found, "In {n} episodes the state never changes.", "The robot moves in every episode.")


def _frozen_cameras(_reader: EpisodeReader, examined: Sequence[Examined]) -> Check:
    found = [each for each in examined if each.frozen_cameras]
    names = sorted({name for each in found for name in each.frozen_cameras})
    wrong = (
        f"In {{n}} episodes a camera shows one image throughout ({', '.join(names)}); leave it out (decode.cameras)."
    )
    return _found("cameras", found, wrong, "Every camera's images change.")


def _length(_reader: EpisodeReader, examined: Sequence[Examined]) -> Check:
    found = [each for each in examined if each.quality.frames < _SHORTEST]
    wrong = f"{{n}} episodes have fewer than {_SHORTEST} frames: too short for an acceleration."
    return _found("length", found, wrong, f"Every episode has at least {_SHORTEST} frames.")


_CHECKS: tuple[Callable[[EpisodeReader, Sequence[Examined]], Check], ...] = (
    _frame_rate,
    _constant_actions,
    _jumping_actions,
    _angles,
    _positions,
    _gripper_range,
    _gripper_polarity,
    _instructions,
    _duplicates,
    _static,
    _frozen_cameras,
    _length,
)
