from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq
import pytest

from dualvla_core.episodes.config import DecodeConfig
from dualvla_core.episodes.decoding import decode_episodes
from dualvla_core.episodes.estimate import Estimate, estimate_decoding
from dualvla_core.episodes.scan import scan_demonstrations
from dualvla_core.errors import ArtifactError


def test_the_estimate_is_near_what_is_written(real_dataset: Callable[[str], Path], tmp_path: Path) -> None:
    dataset = real_dataset("gr1_sim_lerobot_v20")
    for name in ("scan", "segment"):
        (tmp_path / name).mkdir()
    scan_demonstrations(dataset, None, tmp_path / "scan")
    rows = pq.read_table(tmp_path / "scan" / "scan.parquet").to_pylist()
    params = DecodeConfig(image_size=128)
    found = estimate_decoding(dataset, None, tmp_path / "scan", [row["episode"] for row in rows], params)
    summary = decode_episodes(params, dataset, None, {rows[0]["episode"]: 0}, tmp_path / "segment")
    assert found is not None
    per_frame = found.bytes / sum(row["length"] for row in rows)
    assert per_frame == pytest.approx(int(summary["bytes"]) / int(summary["frames"]), rel=0.2)
    assert found.seconds > 0


def test_twice_the_frames_are_twice_the_bytes(
    write_dataset: Callable[..., Path], demo: Callable[..., Any], tmp_path: Path
) -> None:
    dataset = write_dataset([demo(), demo(seed=1), demo(seed=2)])
    scan_demonstrations(dataset, None, tmp_path)
    digests = pq.read_table(tmp_path / "scan.parquet")["episode"].to_pylist()

    def estimate(count: int) -> Estimate:
        found = estimate_decoding(dataset, None, tmp_path, digests[:count], DecodeConfig())
        assert found is not None
        return found

    assert estimate(0) == Estimate(0, 0.0)
    assert estimate(2).bytes == pytest.approx(2 * estimate(1).bytes, rel=0.05)
    with pytest.raises(ArtifactError, match="The scan holds 1 of the 2 episodes"):
        estimate_decoding(dataset, None, tmp_path, [digests[0], "zz"], DecodeConfig())


@pytest.mark.parametrize("opener", ["open_crashing", "open_hanging", "open_stumbling"])
def test_an_episode_that_cannot_be_sampled_gives_way_to_its_neighbour(
    opener: str, faulty: ModuleType, write_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    """Episode 1 of three is the middle one, and what goes wrong with it must not reach this process."""
    dataset = write_dataset(3)
    scan_demonstrations(dataset, None, tmp_path)
    digests = pq.read_table(tmp_path / "scan.parquet")["episode"].to_pylist()

    def estimate(episodes: list[str]) -> Estimate | None:
        opened = getattr(faulty, opener)
        return estimate_decoding(dataset, None, tmp_path, episodes, DecodeConfig(), open_reader=opened, patience_s=2)

    found = estimate(digests)
    assert found is not None
    assert found.bytes > 0
    assert estimate(digests[1:2]) is None
