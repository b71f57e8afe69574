from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core.evaluation.tables import LATENCIES, LATENCIES_FILE
from flows.experiments.rates import decision_rates, told
from infra.artifact_store import ArtifactStore
from infra.object_store import MissingObjectError


class Shelf:
    """An artifact store of manifests by name, and of what decisions took (s)."""

    def __init__(self, inputs: dict[str, dict[str, tuple[Any, ...]]], took: dict[str, list[float]]) -> None:
        self.inputs, self.took = inputs, took

    def manifest(self, ref: str) -> SimpleNamespace:
        return SimpleNamespace(request=SimpleNamespace(inputs=self.inputs.get(ref, {})), ref=ref)

    def timings(self, manifest: SimpleNamespace, name: str) -> bytes:
        assert name == LATENCIES_FILE
        if manifest.ref not in self.took:
            raise MissingObjectError(name)
        rows = [{"rollout": 0, "step": step, "latency_s": took} for step, took in enumerate(self.took[manifest.ref])]
        file = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, LATENCIES), file)
        return file.getvalue()


def test_rates_of_every_variant_and_seed() -> None:
    inputs = {
        "report": {"seeds": ("seed 0", "seed 1")},
        "seed 0": {"dual.checkpoint": ("policy",), "dual.rollouts": ("a",), "none.rollouts": ("b",)},
        "seed 1": {"dual.rollouts": ("c",), "dual.unseen": ("b",), "none.rollouts": ("lost",)},
    }
    shelf = Shelf(inputs, {"a": [0.05, 0.15], "b": [0.5], "c": [0.25]})
    rates = decision_rates(cast("ArtifactStore", shelf), cast("Any", "report"))
    assert rates == {"dual": pytest.approx([10, 4]), "none": [pytest.approx(2), None]}
    assert told(rates).splitlines()[1:] == ["  dual: 10.0, 4.0", "  none: 2.0, not kept"]
