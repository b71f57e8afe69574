from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from dualvla_core.episodes.segment import Segment
from dualvla_core.report.context import CuratedSegment
from dualvla_core.report.panels import EpisodeTables, Panel, rasters, signal_panels

from .conftest import HandMade, MakeCurated

EPISODE = HandMade("a" * 64, ".sKKs.a..K", boundaries=(3,), flips=(4,))


def _panels(source: CuratedSegment) -> tuple[Panel, ...]:
    segment = Segment(source.segment)
    return signal_panels(_tables(source, segment), segment.embodiment)


def _tables(source: CuratedSegment, segment: Segment) -> EpisodeTables:
    def read(folder: Path) -> object:
        return pq.read_table(folder / f"{folder.name.rsplit('_')[-1]}.parquet")

    return EpisodeTables(segment.signals(0), read(source.boundaries), read(source.kinematics), read(source.decisions))


def test_pose_space_has_score_acceleration_and_gripper(make_curated: MakeCurated) -> None:
    score, acceleration, gripper = _panels(make_curated([EPISODE]))
    assert (score.title, acceleration.title, gripper.title) == ("Boundary score", "Acceleration", "Gripper opening")
    assert acceleration.unit == "m and rad per s²"
    assert score.note == "dashed: threshold 0.50; 1 picked"
    assert gripper.note == "1 transition"


def test_a_boundary_is_marked_in_the_middle_of_its_frame(make_curated: MakeCurated) -> None:
    score = _panels(make_curated([EPISODE]))[0]
    assert score.marks == "M350 0V100"  # frame 3 of 10 fills 300 to 400
    assert score.bands == "M100 0h400v100h-400zM900 0h100v100h-100z"
    top = 0.75 * 1.05
    height = 100 * (1 - 0.5 / top)
    assert score.level == f"M0 {height:.2f}L1000 {height:.2f}"


def test_acceleration_is_shaded_above_its_mean_and_open_at_the_ends(make_curated: MakeCurated) -> None:
    acceleration = _panels(make_curated([EPISODE]))[1]
    mean = np.mean([0.5, 2, 2, 0.5, 0.5, 2, 0.5, 0.5])
    assert acceleration.note == f"dashed: mean {mean:.2g}"
    assert acceleration.bands == "M200 0h200v100h-200zM600 0h100v100h-100z"
    assert acceleration.curves[0].startswith("M150 ")  # frame 0 has no acceleration
    assert acceleration.curves[0].count("L") == 7


def test_the_gripper_moves_between_the_edges_at_its_flip(make_curated: MakeCurated) -> None:
    gripper = _panels(make_curated([EPISODE]))[2]
    assert gripper.marks == "M400 0V100"
    assert gripper.curves[0].startswith("M50 96L150 96L250 96L350 96L450 4")


def test_joint_space_has_a_panel_per_arm_and_no_gripper_where_there_is_none(make_curated: MakeCurated) -> None:
    panels = _panels(make_curated([EPISODE], space="joints", gripper=False))
    assert [panel.title for panel in panels] == ["Boundary score", "Acceleration, left", "Acceleration, right"]
    assert panels[1].unit == "rad per s²"


def test_two_grippers_are_told_apart(make_curated: MakeCurated) -> None:
    gripper = _panels(make_curated([EPISODE], space="joints"))[-1]
    assert len(gripper.curves) == 2
    assert gripper.note == "1 transition; left solid, right broken"


@pytest.mark.parametrize("frames", ["K", "K."])
def test_too_short_to_accelerate(make_curated: MakeCurated, frames: str) -> None:
    acceleration = _panels(make_curated([HandMade("a" * 64, frames)]))[1]
    assert acceleration.note == "undefined: fewer than three frames"
    assert acceleration.curves == ()


def test_rasters_show_both_labels_and_the_verdict(make_curated: MakeCurated) -> None:
    source = make_curated([EPISODE])
    drawn = rasters(_tables(source, Segment(source.segment)).decisions)
    assert [(raster.title, raster.frames) for raster in drawn] == [
        ("Scene label", 5),
        ("Action label", 4),
        ("Kept", 3),
    ]
    assert drawn[2].bands == "M200 0h200v100h-200zM900 0h100v100h-100z"
