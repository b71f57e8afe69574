from __future__ import annotations

import json
import math

import numpy as np
import pytest

from dualvla_core.errors import ArtifactError
from dualvla_core.report.results.curves import draw_curves, read_terms, smoothed

from .conftest import MakePolicy


def test_terms_are_read_by_domain_with_the_steps_they_were_measured_at(make_policy: MakePolicy) -> None:
    folder = make_policy(losses={"loss": [3.0, 2.0], "flow": [2.0, 1.0]}).checkpoint
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 3, "domain": "multimodal", "loss": 5.0, "gradient_norm": 9.0}) + "\n")
    terms = read_terms(folder)
    assert [(term.domain, term.name) for term in terms] == [
        ("robot", "loss"),
        ("robot", "flow"),
        ("multimodal", "loss"),
    ]
    assert terms[1].values.tolist() == [2.0, 1.0]
    assert (terms[2].steps.tolist(), terms[2].values.tolist()) == ([3.0], [5.0])


def test_smoothing_is_a_centred_mean_that_shrinks_at_the_ends() -> None:
    values = np.arange(50.0)  # a window of 2 // 2 steps to each side
    assert smoothed(values)[[0, 1, 25, 49]].tolist() == [0.5, 1.0, 25.0, 48.5]
    assert smoothed(np.array([4.0])).tolist() == [4.0]


def test_a_term_has_one_axis_for_all_policies_and_a_logarithm_where_it_spans_a_decade(make_policy: MakePolicy) -> None:
    policies = [
        make_policy("specialist", losses={"flow": [100.0, 10.0], "loss": [3.0, 2.0]}),
        make_policy("dualvla", "dualvla", losses={"flow": [10.0, 1.0], "loss": [2.0, 1.0]}),
    ]
    first, second = draw_curves(policies)
    assert [(curves.name, curves.number, curves.steps) for curves in (first, second)] == [
        ("specialist", 0, 10),
        ("dualvla", 1, 10),
    ]
    assert [(panel.name, panel.low, panel.high, panel.logarithmic) for panel in first.panels] == [
        ("loss", "0", "3", False),
        ("flow", "1", "100", True),
    ]
    assert first.panels[1].raw == "M100 0L200 50"  # steps 1 and 2 of 10; 100 at the top, 10 half a logarithm down
    assert second.panels[1].raw == "M100 50L200 100"
    assert second.panels[0].last == "1"


def test_a_record_that_cannot_be_read(make_policy: MakePolicy) -> None:
    policy = make_policy()
    (policy.checkpoint / "metrics.jsonl").write_text("{")
    with pytest.raises(ArtifactError, match=r"metrics\.jsonl of 'checkpoint' cannot be read"):
        draw_curves([policy])


def test_a_loss_of_zero_keeps_its_axis_linear(make_policy: MakePolicy) -> None:
    ((panel,),) = (curves.panels for curves in draw_curves([make_policy(losses={"loss": [50.0, 0.0]})]))
    assert not panel.logarithmic
    assert not any(math.isnan(float(number)) for number in (panel.low, panel.high))
