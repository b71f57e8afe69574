from __future__ import annotations

import base64

import cv2
import numpy as np

from dualvla_core.report.results.outcomes import draw_outcomes, stairs

from .conftest import MakePolicy


def test_every_planned_episode_is_there_with_who_solved_it(make_policy: MakePolicy) -> None:
    policies = [
        make_policy("specialist", outcomes={"reach": "Sf", "drawer-open": "SS"}),
        make_policy("silent"),
        make_policy("dualvla", "dualvla", {"reach": "fS", "drawer-open": "ff"}),
    ]
    drawn = draw_outcomes(policies)
    assert drawn is not None
    assert [(player.name, player.number) for player in drawn.players] == [("specialist", 0), ("dualvla", 2)]
    assert [(entry.task, [(start.seed, start.solved) for start in entry.starts]) for entry in drawn.tasks] == [
        ("reach", [(50000, (True, False)), (50001, (False, True))]),
        ("drawer-open", [(50000, (True, False)), (50001, (True, False))]),
    ]
    _, _, data = drawn.tasks[0].starts[0].image.partition(",")
    image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert abs(float(image.mean()) - 60) < 2  # the first moment, which is the darkest


def test_what_a_policy_did_not_play_is_neither_solved_nor_failed(make_policy: MakePolicy) -> None:
    policies = [
        make_policy("one", outcomes={"reach": "S"}),
        make_policy("two", outcomes={"reach": "f"}, trials={"first_seed": 7}),
    ]
    drawn = draw_outcomes(policies)
    assert drawn is not None
    assert [(start.seed, start.solved) for start in drawn.tasks[0].starts] == [
        (7, (None, False)),
        (50000, (True, None)),
    ]


def test_the_curves_end_at_the_success_rates(make_policy: MakePolicy) -> None:
    drawn = draw_outcomes([make_policy("specialist", outcomes={"reach": "SSff", "drawer-open": "SSSS"})])
    assert drawn is not None
    assert [(panel.name, panel.curves[0].last) for panel in drawn.panels] == [
        ("all tasks", "75.0\u00a0%"),
        ("reach", "50.0\u00a0%"),
        ("drawer-open", "100.0\u00a0%"),
    ]
    assert drawn.panels[1].curves[0].path == "M0 100H240V50H1000"  # solved after 12 of 50 steps


def test_policies_that_were_not_played(make_policy: MakePolicy) -> None:
    assert draw_outcomes([make_policy("silent")]) is None


def test_rollouts_that_did_not_note_when_have_starts_and_no_curve(make_policy: MakePolicy) -> None:
    drawn = draw_outcomes([make_policy("old", outcomes={"reach": "S"}, trials={"success_mode": "final"})])
    assert drawn is not None
    assert (len(drawn.tasks), drawn.panels) == (1, ())


def test_stairs_hold_a_share_until_the_next() -> None:
    assert stairs(np.array([0.0, 0.0, 0.5, 0.5, 0.25]), 8) == "M0 100H250V50H500V75H500"
