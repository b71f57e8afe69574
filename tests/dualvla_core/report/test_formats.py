from __future__ import annotations

import pytest
from pydantic import JsonValue

from dualvla_core.report import formats


@pytest.mark.parametrize(
    ("seconds", "text"), [(12.34, "12.3 s"), (59.96, "60.0 s"), (83.2, "1 min 23 s"), (7325, "2 h 2 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert formats.duration(seconds) == text


def test_counts_and_ratios() -> None:
    assert formats.grouped(1234567) == "1\u202f234\u202f567"
    assert (formats.counted(1, "frame"), formats.counted(0, "frame")) == ("1 frame", "0 frames")
    assert (formats.percent(0.1234), formats.percent(None)) == ("12.3\u00a0%", "–")
    assert (formats.significant(-0.123456), formats.significant(None)) == ("−0.1235", "–")
    assert (formats.significant(742.3, 2), formats.significant(12345.6)) == ("742", "12346")
    assert (formats.significant(-99.6, 2), formats.significant(3e7, 2)) == ("−1e+02", "3e+07")


def test_names_are_shortened_for_people() -> None:
    assert formats.camera_name("observation.images.third_person") == "third person"
    assert formats.short("sha256:" + "ab" * 32) == "ababababab"
    assert formats.because("dropped: steady motion") == "steady motion"
    assert formats.because("a sentence of its own") == "a sentence of its own"


def test_nested_parameters_become_dotted_names() -> None:
    span: dict[str, JsonValue] = {"seconds": 0.5}
    values: dict[str, JsonValue] = {"rule": "dual", "span": span, "first": True, "camera": None, "sizes": [1, 2]}
    assert list(formats.flattened(values)) == [
        ("rule", "dual"),
        ("span.seconds", "0.5"),
        ("first", "yes"),
        ("camera", "none"),
        ("sizes", "1, 2"),
    ]


def test_sets_of_parameters_are_merged_and_differences_shown() -> None:
    assert list(
        formats.merged([{"rule": "none", "seed": 0}, {"rule": "dual", "seed": 0}, {"seed": 0, "extra": 1}])
    ) == [
        ("rule", "none or dual or unset"),
        ("seed", "0"),
        ("extra", "unset or 1"),
    ]


def test_a_plural_may_be_irregular() -> None:
    assert formats.counted(1, "policy", "policies") == "1 policy"
    assert formats.counted(2, "policy", "policies") == "2 policies"
