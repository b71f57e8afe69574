from __future__ import annotations

import pytest
from pydantic import JsonValue

from dualvla_core.report import page


@pytest.mark.parametrize(
    ("seconds", "text"), [(12.34, "12.3 s"), (59.96, "60.0 s"), (83.2, "1 min 23 s"), (7325, "2 h 2 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert page.duration(seconds) == text


def test_counts_and_ratios() -> None:
    assert page.grouped(1234567) == "1\u202f234\u202f567"
    assert (page.counted(1, "frame"), page.counted(0, "frame")) == ("1 frame", "0 frames")
    assert (page.percent(0.1234), page.percent(None)) == ("12.3\u00a0%", "–")
    assert (page.significant(-0.123456), page.significant(None)) == ("−0.1235", "–")


def test_names_are_shortened_for_people() -> None:
    assert page.camera_name("observation.images.third_person") == "third person"
    assert page.short("sha256:" + "ab" * 32) == "ababababab"
    assert page.because("dropped: steady motion") == "steady motion"
    assert page.because("a sentence of its own") == "a sentence of its own"


def test_nested_parameters_become_dotted_names() -> None:
    span: dict[str, JsonValue] = {"seconds": 0.5}
    values: dict[str, JsonValue] = {"rule": "dual", "span": span, "first": True, "camera": None, "sizes": [1, 2]}
    assert list(page.flattened(values)) == [
        ("rule", "dual"),
        ("span.seconds", "0.5"),
        ("first", "yes"),
        ("camera", "none"),
        ("sizes", "1, 2"),
    ]
