"""What planning, commits and Prefect cost per episode: the curation of many episodes with nothing to compute.

    python benchmarks/orchestration.py [--episodes 10000] [--store URI]

The real flow, keys, leases, commits and server; only the bodies of the stages are replaced by ones that write a small
file. Prints the task runs, and the time per episode of a first run and of a second one that finds everything.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dualvla_core import schemas
from dualvla_core.params import Summary
from infra.prefect.server import configure_prefect, prefect_server
from infra.settings import Settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=10_000)
    parser.add_argument("--store", default="")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder), store=options.store, server_port=0)
        configure_prefect(settings)
        with prefect_server(settings):
            measure(settings, Path(folder) / "dataset", options.episodes)


def measure(settings: Settings, dataset: Path, episodes: int) -> None:
    from dualvla_core.pipeline_config import PipelineConfig  # noqa: PLC0415 - Prefect is imported once it has a server
    from flows import curate as flows_curate  # noqa: PLC0415
    from flows.recorded import here  # noqa: PLC0415
    from infra.run_record import used_refs  # noqa: PLC0415
    from tasks import plan  # noqa: PLC0415
    from tasks.stage import open_artifacts  # noqa: PLC0415

    (dataset / "meta").mkdir(parents=True)
    (dataset / "meta" / "info.json").write_text("{}")
    plan.estimate_decoding = no_estimate
    for stage in flows_curate.STAGES:
        stage.declare = with_empty_body(stage.name, stage.declare, episodes)
    config = PipelineConfig.model_validate({"name": "empty", "dataset": {"path": str(dataset)}})
    for title in ("first run", "second run"):
        run = here(settings).model_copy(update={"id": title.replace(" ", "-")})
        started, used = time.monotonic(), time.process_time()
        flows_curate.curate(config, run)
        seconds, used = time.monotonic() - started, time.process_time() - used
        tasks = len(used_refs(open_artifacts(run).objects, run.id)) + 1  # and the planning
        print(f"{title}: {episodes} episodes, {tasks} task runs")
        for what, spent in (("wall", seconds), ("processor, without the server's", used)):
            print(f"  {what}: {spent:.1f} s, {1000 * spent / episodes:.2f} ms per episode")


def no_estimate(*_: object) -> Any:
    class Nothing:
        bytes, seconds = 0, 0.0

    return Nothing


def with_empty_body(name: str, declare: Callable[..., Any], episodes: int) -> Callable[..., Any]:
    """The stage's own declaration (and so its key), with a body that computes nothing."""

    def declared(*args: Any) -> Any:
        def body(job: Any) -> Summary:
            fill(name, job.output, args, episodes, job.key)
            return {"episodes": 1}

        return replace(declare(*args), body=body)

    return declared


def fill(name: str, output: Path, args: tuple[Any, ...], episodes: int, key: str) -> None:
    if name == "scan_demonstrations":
        pq.write_table(scan_of(episodes), output / "scan.parquet")
    elif name == "decode_episodes":
        pq.write_table(pa.table({"episode": list(args[4])}), output / "episodes.parquet")
        pq.write_table(pa.table({"episode": pa.array([], pa.string())}), output / "skipped.parquet")
    elif name == "publish_report":
        (output / "report.html").write_text("<!doctype html>")
    else:
        (output / "data").write_text(f"{name} {key}")


def scan_of(episodes: int) -> pa.Table:
    """A scan of episodes that do not exist."""
    columns = []
    for field in schemas.SCAN:
        if field.name == "episode":
            values: Any = [f"{number:064x}" for number in range(episodes)]
        elif field.name == "episode_index":
            values = list(range(episodes))
        elif pa.types.is_list(field.type):
            values = [[]] * episodes
        elif pa.types.is_string(field.type):
            values = ["x"] * episodes
        else:
            values = [0] * episodes
        columns.append(pa.array(values, field.type))
    return pa.Table.from_arrays(columns, schema=schemas.SCAN)


if __name__ == "__main__":
    main()
