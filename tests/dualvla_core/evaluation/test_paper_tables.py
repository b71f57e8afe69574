from __future__ import annotations

import pytest

from dualvla_core.evaluation.benchmarks.catalogue import CATALOGUE
from dualvla_core.evaluation.paper_tables import (
    TASK_COLUMNS,
    average,
    own_line,
    published_lines,
    published_table,
)

PRINTED_LIKE_OURS = ("InstructVLA-E", "ECoT", "Emma-X", "ThinkACT", "InstructVLA-G", "DualVLA")


def test_every_published_row_fills_the_columns() -> None:
    for name in ("simpler_env", "multimodal"):
        table = published_table(name)  # type: ignore[arg-type]
        assert {len(row.cells) for row in table.rows.values()} == {len(table.columns)}
    assert published_table("multimodal").columns == tuple(known.title for known in CATALOGUE.values())
    assert set(TASK_COLUMNS.values()) <= set(published_table("simpler_env").columns)


@pytest.mark.parametrize("method", PRINTED_LIKE_OURS)
def test_the_average_is_the_printed_one_where_its_columns_are_the_same(method: str) -> None:
    row = published_table("simpler_env").rows[method]
    assert not row.other_columns
    assert average(row.cells) == pytest.approx(row.printed, abs=0.11)  # the paper rounds DualVLA's 60.9 up to 61.0


def test_an_average_of_other_columns_is_marked() -> None:
    lines = {line[0]: line for line in published_lines(published_table("simpler_env"))}
    assert lines["OpenVLA"][-1] == "27.2*"
    assert lines["DualVLA"][-1] == "61.0"
    assert lines["RT-2-X"][-4:] == ["–", "–", "–", "–"]
    assert {line[0]: line[-1] for line in published_lines(published_table("multimodal"))}["InstructVLA-G"] == "67.1"


def test_what_was_not_measured_has_no_average() -> None:
    table = published_table("simpler_env")
    assert own_line(table, {"Spoon": 50.0, "Stack": 0.0}) == ["–"] * 6 + ["50.0", "–", "0.0", "–"]
    assert own_line(table, dict.fromkeys(table.columns, 10.0))[-1] == "10.0"
