from __future__ import annotations

from itertools import combinations

from dualvla_core.report.lineage import draw_lineage, stage_edges, without_implied
from dualvla_core.report.model import StageNode

INPUTS = {
    "scan": (),
    "decode": ("scan",),
    "boundaries": ("decode",),
    "kinematics": ("decode",),
    "prune": ("decode", "boundaries", "kinematics"),
    "questions": (),
    "report": ("scan", "prune", "questions"),
}


def _nodes(suffix: str = "") -> list[StageNode]:
    return [
        StageNode(
            stage=stage,
            key=stage + suffix,
            digest="d",
            version=1,
            inputs=tuple(name + suffix for name in inputs),
        )
        for stage, inputs in INPUTS.items()
    ]


def test_edges_join_stages_through_the_keys_of_their_artifacts() -> None:
    edges = stage_edges([*_nodes("1"), *_nodes("2")])
    assert len(edges) == 9  # the second segment adds no new pair of stages
    assert ("decode", "prune") in edges


def test_an_input_made_elsewhere_draws_no_edge() -> None:
    node = StageNode(stage="decode", key="k", digest="d", version=1, inputs=("unknown",))
    assert stage_edges([node]) == []


def test_lines_that_others_imply_are_left_out() -> None:
    assert without_implied(stage_edges(_nodes())) == [
        ("scan", "decode"),
        ("decode", "boundaries"),
        ("decode", "kinematics"),
        ("boundaries", "prune"),
        ("kinematics", "prune"),
        ("prune", "report"),
        ("questions", "report"),
    ]


def test_every_stage_lies_below_what_it_was_made_from() -> None:
    top = {box.stage: box.top for box in draw_lineage(_nodes()).boxes}
    assert all(top[name] < top[stage] for stage, inputs in INPUTS.items() for name in inputs)
    assert top["boundaries"] == top["kinematics"]


def test_boxes_do_not_overlap_and_stay_inside() -> None:
    drawing = draw_lineage(_nodes())
    for box in drawing.boxes:
        assert 0 <= box.left <= drawing.width - drawing.box_width
        assert 0 <= box.top <= drawing.height - drawing.box_height
    for one, other in combinations(drawing.boxes, 2):
        apart = abs(one.left - other.left) >= drawing.box_width or abs(one.top - other.top) >= drawing.box_height
        assert apart, (one, other)


def test_a_long_line_passes_beside_the_boxes_between_its_ends() -> None:
    drawing = draw_lineage(_nodes())
    assert sum("v46" in edge for edge in drawing.edges) == 3  # questions passes decode, boundaries and prune
    assert len(drawing.edges) == 7 + 3


def test_a_stage_with_several_artifacts_counts_them() -> None:
    boxes = {box.stage: box for box in draw_lineage([*_nodes("1"), *_nodes("2")]).boxes}
    assert (boxes["scan"].artifacts, boxes["scan"].key) == (2, "")
    single = draw_lineage(_nodes("1")).boxes[0]
    assert (single.artifacts, single.key) == (1, "scan1")


def test_no_lineage_is_an_empty_drawing() -> None:
    drawing = draw_lineage([])
    assert (drawing.width, drawing.height, drawing.boxes, drawing.edges) == (0, 0, (), ())
