from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core.report.config import ReportParams
from dualvla_core.report.film_strip import (
    FilmStrip,
    ReasoningPiece,
    draw_film_strip,
    reasoning_pieces,
    strip_frames,
    time_ticks,
)
from dualvla_core.report.measures import episode_rows, read_curation

from .conftest import HandMade, MakeContext, MakeCurated

EPISODE = HandMade("a" * 64, "." * 8 + "KK" + "." * 9 + "K", words=4, boundaries=(8,), flips=(4,))


def _flags(text: str) -> np.ndarray:
    return np.array([letter == "K" for letter in text])


def test_each_share_shows_its_kept_frame_nearest_the_middle() -> None:
    assert strip_frames(_flags("....K...K...K..K"), 4) == [1, 4, 8, 12]
    assert strip_frames(_flags("KK......"), 2) == [1, 5]


def test_a_short_episode_shows_every_frame_once() -> None:
    assert strip_frames(_flags(".K."), 12) == [0, 1, 2]
    assert strip_frames(_flags("."), 12) == [0]


def test_pieces_are_distinct_in_order_of_appearance_and_know_where_they_stay() -> None:
    plan = ReasoningPiece(style="plan", content="open it")
    reach, pull = (ReasoningPiece(style="subtask", content=content) for content in ("reach", "pull"))
    frames = [[plan, reach], [plan, reach], [plan, pull], None]
    pieces = reasoning_pieces(frames, np.array([False, True, False, True]))
    assert [(piece.style, piece.content, piece.before, piece.after) for piece in pieces] == [
        ("plan", "open it", 3, 1),
        ("subtask", "reach", 2, 1),
        ("subtask", "pull", 1, 0),
    ]
    assert pieces[0].present == "M0 0h750v100h-750z"
    assert pieces[1].kept == "M250 0h250v100h-250z"
    assert pieces[2].kept == ""


def test_no_reasoning_has_no_pieces() -> None:
    assert reasoning_pieces([None, None], np.array([True, False])) == ()


def test_ticks_are_placed_in_percent_of_the_duration() -> None:
    assert [(tick.position, tick.label) for tick in time_ticks(4.0)][::2] == [
        (0, "0"),
        (25, "1"),
        (50, "2"),
        (75, "3"),
        (100, "4"),
    ]


@pytest.fixture
def drawn(make_curated: MakeCurated, make_context: MakeContext, tmp_path: Path) -> FilmStrip:
    other = HandMade("b" * 64, "KKK")
    source = make_curated([other, EPISODE], cameras=("front", "wrist", "side"))
    context = make_context([other, EPISODE])
    row = episode_rows(read_curation([source], context), context)[1]
    changes = [{"episode_index": 0, "frame_index": 2, "phase": "no"}]
    changes += [
        {"episode_index": 1, "frame_index": frame, "phase": name} for frame, name in ((15, "pull"), (5, "reach"))
    ]
    pq.write_table(pa.Table.from_pylist(changes), tmp_path / "phases.parquet")
    params = ReportParams(strip_frames=4, thumbnail_height=32)
    return draw_film_strip(source, 1, row, "because", tmp_path / "phases.parquet", params)


def test_a_film_strip_marks_its_kept_frames(drawn: FilmStrip) -> None:
    assert [strip.camera for strip in drawn.strips] == ["front", "wrist"]
    assert drawn.other_cameras == ("side",)
    shown = [(thumb.frame_index, thumb.seconds, thumb.kept) for thumb in drawn.strips[0].thumbnails]
    assert shown == [(2, 0.2, False), (8, 0.8, True), (12, 1.2, False), (19, 1.9, True)]


def test_its_thumbnails_are_small_jpegs_inside_the_page(drawn: FilmStrip) -> None:
    head, _, body = drawn.strips[0].thumbnails[0].source.partition(",")
    assert head == "data:image/jpeg;base64"
    image = cv2.imdecode(np.frombuffer(base64.b64decode(body), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == (32, 32, 3)


def test_recorded_phases_are_its_own_in_order(drawn: FilmStrip) -> None:
    assert [(phase.position, phase.name) for phase in drawn.phases] == [(25, "reach"), (75, "pull")]


def test_its_reasoning_and_signals_are_of_the_same_episode(drawn: FilmStrip) -> None:
    assert [(piece.before, piece.after) for piece in drawn.pieces] == [(20, 3)]
    assert [raster.frames for raster in drawn.rasters] == [3, 3, 3]
    assert drawn.fps == pytest.approx(10)
