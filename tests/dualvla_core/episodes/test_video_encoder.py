from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from dualvla_core.episodes.video_encoder import VideoEncoder


def encode(path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    encoder = VideoEncoder(path, size=(64, 64), fps=80, crf=10, gop=6)
    for length in (5, 8):
        encoder.write_episode([np.roll(noise, shift, 1) for shift in range(length)])
    encoder.close()
    return path


def test_every_episode_starts_with_a_key_frame_at_its_own_time(tmp_path: Path) -> None:
    with av.open(str(encode(tmp_path / "a.mp4"))) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.pts is not None]
        assert stream.time_base is not None
        times = [packet.pts * float(stream.time_base) for packet in packets if packet.pts is not None]
        keys = [index for index, packet in enumerate(packets) if packet.is_keyframe]
    np.testing.assert_allclose(times, np.arange(13) / 80, atol=1e-9)
    assert keys == [0, 5, 11]  # the episodes at 0 and 5, and one key-frame after six images


def test_the_same_images_give_the_same_bytes(tmp_path: Path) -> None:
    assert encode(tmp_path / "a.mp4").read_bytes() == encode(tmp_path / "b.mp4").read_bytes()


def test_an_episodes_packets_do_not_depend_on_its_neighbours(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    one, two = (list(rng.integers(0, 256, (12, 32, 32, 3)).astype(np.uint8)) for _ in range(2))

    def packets(*episodes: list[np.ndarray]) -> list[bytes]:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.mp4"
        encoder = VideoEncoder(path, (32, 32), 80, 18, 10)
        for episode in episodes:
            encoder.write_episode(episode)
        encoder.close()
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(video=0) if packet.size]

    alone_one, alone_two = packets(one), packets(two)
    assert packets(one, two) == alone_one + alone_two
    assert packets(two, one) == alone_two + alone_one
