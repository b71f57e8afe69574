"""How fast an experiment's variants decided: read off the clock, so told beside the report and no part of it."""

from __future__ import annotations

import io
from collections import defaultdict

import pyarrow.compute as pc
import pyarrow.parquet as pq

from dualvla_core.evaluation.tables import LATENCIES, LATENCIES_FILE
from infra.artifact_store import ArtifactStore
from infra.manifest import ArtifactRef

ROLE = ".rollouts"


def decision_rates(store: ArtifactStore, report: ArtifactRef) -> dict[str, list[float]]:
    """Decisions per second (Hz) of every variant's rollouts, one number a training seed.

    Rates taken side by side compare variants; on a machine that did other things as well they say little more.
    """
    rates: dict[str, list[float]] = defaultdict(list)
    for seed in store.manifest(report).request.inputs["seeds"]:
        for role, (rollouts, *_) in store.manifest(seed).request.inputs.items():
            if role.endswith(ROLE):
                took = io.BytesIO(store.timings(store.manifest(rollouts), LATENCIES_FILE))
                mean = pc.mean(pq.read_table(took, schema=LATENCIES)["latency_s"]).as_py()
                rates[role.removesuffix(ROLE)].append(1 / mean)
    return dict(rates)


def told(rates: dict[str, list[float]]) -> str:
    """A line per variant."""
    lines = [f"  {name}: {', '.join(f'{rate:.1f}' for rate in of_seeds)}" for name, of_seeds in rates.items()]
    return "\n".join(["Decisions per second as played here, seed by seed:", *lines])
