"""Numbers, digests and parameters as the page and the model cards write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import JsonValue


def grouped(count: int) -> str:
    """A count with thin spaces between thousands."""
    return f"{count:,}".replace(",", "\u202f")


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A count with its noun, in the plural (with an s unless given) where it is not one."""
    return f"{grouped(count)} {noun if count == 1 else plural or noun + 's'}"


_MILLION = 1e6


def percent(ratio: float | None) -> str:
    """A share of one in percent with one decimal; a dash where nothing was considered."""
    return "–" if ratio is None else f"{100 * ratio:.1f}\u00a0%"


def duration(seconds: float) -> str:
    """Seconds in the largest two fitting units."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def short(digest: str) -> str:
    """Enough of a digest to find it again."""
    return digest.removeprefix("sha256:")[:10]


def spaced(stage: str) -> str:
    """A stage's name as words."""
    return stage.replace("_", " ")


def camera_name(camera: str) -> str:
    """The last part of a camera's dotted name, as words."""
    return camera.rsplit(".", 1)[-1].replace("_", " ")


def significant(value: float | None, digits: int = 4) -> str:
    """A measured number with so many significant digits and a true minus sign; a dash where there is none.

    Digits before the point are all written, up to a million: 742 reads better than 7.4e+02.
    """
    if value is None:
        return "–"
    whole = 10**digits <= abs(value) < _MILLION
    return f"{value:.{0 if whole else digits}{'f' if whole else 'g'}}".replace("-", "−")


def because(rule: str) -> str:
    """A rule's sentence without the verdict, which has a column of its own."""
    return rule.removeprefix("kept: ").removeprefix("dropped: ")


def merged(sets: Sequence[Mapping[str, JsonValue]]) -> Iterator[tuple[str, str]]:
    """The parameters of every set by dotted name; where sets differ, each value once, "unset" for none."""
    rows = [dict(flattened(values)) for values in sets]
    for name in dict.fromkeys(name for row in rows for name in row):
        yield name, " or ".join(dict.fromkeys(row.get(name, "unset") for row in rows))


def flattened(values: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested parameters as dotted names with their values in words."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield prefix + name, _in_words(value)


def _in_words(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(_in_words(item) for item in value) if isinstance(value, list) else str(value)
