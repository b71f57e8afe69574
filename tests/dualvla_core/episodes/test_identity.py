from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dualvla_core.episodes.embodiment import Embodiment, load_embodiments
from dualvla_core.episodes.identity import episode_digest
from dualvla_core.episodes.reader import EpisodeReader, open_dataset
from dualvla_core.schemas import REASONING


def digests(folder: Path) -> list[str]:
    """The identity of every episode, in order."""
    reader = open_dataset(folder)
    return [digest_of(reader, index) for index in reader.episode_indices()]


def digest_of(reader: EpisodeReader, index: int) -> str:
    packets = {camera: reader.packets(index, camera) for camera in reader.cameras}
    return episode_digest(reader.signals(index), packets, reader.embodiment)


def test_real_demonstrations_keep_their_identity_as_v3(
    real_dataset: Callable[[str], Path], merge: Callable[..., Path]
) -> None:
    source = real_dataset("g1_real_lerobot_v21")
    before = digests(source)
    assert len(set(before)) == 4
    assert digests(merge(source, range(4))) == before


def test_reordered_video_keeps_its_identity_as_v3(
    write_dataset: Callable[..., Path], merge: Callable[..., Path], demo: Callable[..., Any]
) -> None:
    source = write_dataset([demo(length=length, seed=length) for length in (1, 13, 1, 5)])
    merged = merge(source, range(4))
    assert digests(merged) == digests(source)
    reader = open_dataset(merged)
    reds = [
        [round(float(image[..., 0].mean()) / 40) for image in reader.frames(index, reader.cameras[0])]
        for index in range(4)
    ]
    assert [len(each) for each in reds] == [1, 13, 1, 5]
    assert reds[3] == [1, 2, 3, 4, 5]


def test_an_append_that_rewrites_the_shared_files_keeps_the_old_identities(
    write_dataset: Callable[..., Path], merge: Callable[..., Path]
) -> None:
    source = write_dataset(3)
    small, large = merge(source, range(2), "small"), merge(source, range(3), "large")
    shared = "videos/observation.images.front/chunk-000/file-000.mp4"
    assert (small / shared).read_bytes() != (large / shared).read_bytes()[: (small / shared).stat().st_size]
    assert digests(large)[:2] == digests(small)


def test_place_layout_and_precision_do_not_matter(write_dataset: Callable[..., Path], demo: Callable[..., Any]) -> None:
    state = demo().state()
    kinds = [pa.list_(pa.float32()), pa.list_(pa.float32(), 7), pa.list_(pa.float64())]
    times = np.arange(6) / 10
    found = {
        digests(
            write_dataset(
                [
                    demo(
                        columns={
                            "observation.state": pa.array(state.tolist(), kind),
                            "timestamp": pa.array(times + late),
                        }
                    )
                ],
                name=f"set{number}",
            )
        )[0]
        for number, (kind, late) in enumerate(zip(kinds, (0.0, 0.05, 100.0), strict=True))
    }
    assert len(found) == 1


Change = Callable[[dict[str, Any]], None]


def set_column(name: str, values: Any) -> Change:
    def change(episode: dict[str, Any]) -> None:
        table = episode["signals"]
        field = table.schema.field(name)
        episode["signals"] = table.set_column(table.schema.names.index(name), field, pa.array(values, field.type))

    return change


def set_packets(*packets: tuple[float, bytes], camera: str = "front") -> Change:
    return lambda episode: episode.update(packets={camera: iter(packets)})


def set_embodiment(**changes: Any) -> Change:
    return lambda episode: episode.update(embodiment=episode["embodiment"].model_copy(update=changes))


@pytest.fixture
def make_episode(write_dataset: Callable[..., Path], demo: Callable[..., Any]) -> Callable[[], dict[str, Any]]:
    reader = open_dataset(write_dataset([demo(length=2)]))
    signals = reader.signals(0)

    def make() -> dict[str, Any]:
        packets = {"front": iter([(0.0, b"ab"), (0.1, b"c")])}
        return {"signals": signals, "packets": packets, "embodiment": reader.embodiment}

    return make


@pytest.mark.parametrize(
    "change",
    [
        set_column("state", [[0.0] * 7] * 2),
        set_column("action", [[0.0] * 7] * 2),
        set_column("action", [None, None]),
        set_column("timestamp", [0.0, 0.1002]),
        set_column("instruction", ["push the block", "pull the block"]),
        set_column("reasoning", [[], []]),
        set_packets((0.0, b"a"), (0.1, b"bc")),
        set_packets((0.0, b"ab"), (0.2, b"c")),
        set_packets((0.0, b"ab")),
        set_packets((0.0, b"ab"), (0.1, b"c"), camera="wrist"),
        set_embodiment(relative_actions=False),
        set_embodiment(name="another"),
    ],
)
def test_every_part_of_an_episode_counts(change: Change, make_episode: Callable[[], dict[str, Any]]) -> None:
    changed = make_episode()
    change(changed)
    assert episode_digest(**changed) != episode_digest(**make_episode())


@pytest.mark.parametrize(
    "change",
    [
        set_column("episode", ["x", "x"]),
        set_column("timestamp", [0.0, 0.10001]),
        set_packets((0.0, b"ab"), (0.10001, b"c")),
        set_embodiment(description="other words"),
        set_embodiment(robot_types=("another",)),
    ],
)
def test_what_is_no_part_of_an_episode_does_not_count(
    change: Change, make_episode: Callable[[], dict[str, Any]]
) -> None:
    changed = make_episode()
    change(changed)
    assert episode_digest(**changed) == episode_digest(**make_episode())


def test_signals_from_columns_beside_the_state_count(make_episode: Callable[[], dict[str, Any]]) -> None:
    described = load_embodiments()["franka_droid"].model_dump(mode="json")
    droid = Embodiment.model_validate(json.loads(json.dumps(described)))

    def with_x(x: float) -> str:
        episode = make_episode()
        set_column("ee_pose", [[x] * 6] * 2)(episode)
        return episode_digest(episode["signals"], episode["packets"], droid)

    assert with_x(1.0) != with_x(2.0)


def test_the_order_of_cameras_does_not_count(make_episode: Callable[[], dict[str, Any]]) -> None:
    def with_cameras(names: list[str]) -> str:
        packets: dict[str, Iterator[tuple[float, bytes]]] = {name: iter([(0.0, name.encode())]) for name in names}
        return episode_digest(**{**make_episode(), "packets": packets})

    assert with_cameras(["a", "b"]) == with_cameras(["b", "a"])


def test_the_digest_is_what_it_was(make_episode: Callable[[], dict[str, Any]]) -> None:
    """Golden: a change of the digest makes every stored artifact unreachable, so it must be meant."""
    episode = make_episode()
    values = [[float(random.Random(i).randint(0, 9))] * 7 for i in range(2)]
    for column in ("state", "action"):
        set_column(column, values)(episode)
    pieces = pa.array([[{"style": "plan", "content": "öffne"}]] * 2, REASONING)
    set_column("reasoning", pieces)(episode)
    assert episode_digest(**episode) == "48c2a8ed20cb3b9ec9a98fd3a96d64be"
