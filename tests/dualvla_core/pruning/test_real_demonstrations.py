from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dualvla_core.episodes.config import DecodeConfig
from dualvla_core.episodes.decoding import decode_episodes
from dualvla_core.episodes.scan import scan_demonstrations
from dualvla_core.events import EventsConfig, detect_event_boundaries
from dualvla_core.kinematics import KinematicsConfig, compute_kinematics
from dualvla_core.pruning import PruningConfig, prune_reasoning


@pytest.mark.parametrize("dataset", ["aloha_sim_lerobot_v30", "g1_real_lerobot_v21"])
def test_a_sensible_share_of_real_frames_keeps_its_reasoning(shared_data: Path, tmp_path: Path, dataset: str) -> None:
    folders = {name: tmp_path / name for name in ("scan", "segment", "boundaries", "kinematics", "decisions")}
    for folder in folders.values():
        folder.mkdir()
    source = shared_data / dataset
    scan_demonstrations(source, None, folders["scan"])
    rows = pq.read_table(folders["scan"] / "scan.parquet").to_pylist()
    chosen = {row["episode"]: row["episode_index"] for row in rows[:2]}
    decode_episodes(DecodeConfig(image_size=160), source, None, chosen, folders["segment"])
    detect_event_boundaries(EventsConfig(), folders["segment"], folders["boundaries"])
    compute_kinematics(KinematicsConfig(), folders["segment"], folders["kinematics"])
    summary = prune_reasoning(
        PruningConfig(), folders["segment"], folders["boundaries"], folders["kinematics"], folders["decisions"]
    )
    decisions = pq.read_table(folders["decisions"] / "decisions.parquet")
    assert 0.05 < float(summary["retention_ratio"]) < 0.35
    boundaries_per_episode = decisions["boundary_distance"].to_pylist().count(0) / len(chosen)
    assert 3 <= boundaries_per_episode <= 10  # of demonstrations of about ten seconds
