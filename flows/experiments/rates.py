"""How fast an experiment's variants decided: read off the clock, so told beside the report and no part of it."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence

import pyarrow.compute as pc
import pyarrow.parquet as pq

from dualvla_core.evaluation.tables import LATENCIES, LATENCIES_FILE
from infra.artifact_store import ArtifactStore
from infra.manifest import ArtifactRef
from infra.object_store import MissingObjectError

ROLE = ".rollouts"


def decision_rates(store: ArtifactStore, report: ArtifactRef) -> dict[str, list[float | None]]:
    """Decisions per second (Hz) of every variant's rollouts, one number a training seed; None where no clock was kept.

    Rates taken side by side compare variants; on a machine that did other things as well they say little more.
    """
    rates: dict[str, list[float | None]] = defaultdict(list)
    for seed in store.manifest(report).request.inputs["seeds"]:
        for role, (rollouts, *_) in store.manifest(seed).request.inputs.items():
            if role.endswith(ROLE):
                rates[role.removesuffix(ROLE)].append(_rate(store, rollouts))
    return dict(rates)


def _rate(store: ArtifactStore, rollouts: ArtifactRef) -> float | None:
    try:
        took = store.timings(store.manifest(rollouts), LATENCIES_FILE)
    except MissingObjectError:  # timings lie beside the payload, and a copied store may be without
        return None
    return 1 / float(pc.mean(pq.read_table(io.BytesIO(took), schema=LATENCIES)["latency_s"]).as_py())


def told(rates: Mapping[str, Sequence[float | None]]) -> str:
    """A line per variant."""
    lines = [
        f"  {name}: {', '.join('not kept' if rate is None else f'{rate:.1f}' for rate in of_seeds)}"
        for name, of_seeds in rates.items()
    ]
    return "\n".join(["Decisions per second as played here, seed by seed:", *lines])
