from __future__ import annotations

import json

from dualvla_core.exports import ExportConfig, export_keep_ranges
from tests.dualvla_core.exports.conftest import MakeCurated
from tests.dualvla_core.shards.conftest import write_decisions


def test_ranges_are_half_open_and_named_by_the_datasets_number(make_curated: MakeCurated) -> None:
    curated = make_curated()
    one = curated.segments[0]
    write_decisions(one.decisions, one.segment, lambda index: index in {0, 1, 3, 5})
    calls: list[tuple[int, int]] = []
    summary = export_keep_ranges(
        ExportConfig(),
        curated.collection,
        curated.segments,
        curated.output,
        lambda done, total: calls.append((done, total)),
    )
    assert json.loads((curated.output / "keep_ranges.json").read_text()) == {
        "0": [[0, 2], [3, 4], [5, 6]],
        "1": [[0, 2], [3, 4]],
        "2": [[1, 2], [3, 4]],
    }
    assert summary == {"episodes": 3, "ranges": 7, "kept": 4 + 3 + 2}
    assert calls == [(1, 2), (2, 2)]


def test_the_training_split_alone(make_curated: MakeCurated) -> None:
    curated = make_curated()
    export_keep_ranges(ExportConfig(split="train"), curated.collection, curated.segments, curated.output)
    assert list(json.loads((curated.output / "keep_ranges.json").read_text())) == ["1", "2"]


def test_nothing_kept_is_an_empty_list(make_curated: MakeCurated) -> None:
    curated = make_curated()
    two = curated.segments[1]
    write_decisions(two.decisions, two.segment, lambda index: False)
    export_keep_ranges(ExportConfig(), curated.collection, curated.segments, curated.output)
    assert json.loads((curated.output / "keep_ranges.json").read_text())["2"] == []
