"""What detectors are compared with: boundaries placed without looking at a single frame."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

from dualvla_core.events.labels import LabelledEpisode


def uniform(length: int, count: int) -> list[int]:
    """``count`` boundaries that cut ``length`` frames into equal parts."""
    return [round(length * number / (count + 1)) for number in range(1, count + 1)]


def at_random(episode: str, length: int, count: int) -> list[int]:
    """``count`` different frames of ``length``, drawn with a generator seeded by the episode's name."""
    seed = int.from_bytes(hashlib.sha256(episode.encode()).digest()[:8], "big")
    return sorted(np.random.default_rng(seed).choice(length, min(count, length), replace=False).tolist())


def mean_count(episodes: Sequence[LabelledEpisode]) -> int:
    """Boundaries of an average episode, as a whole number."""
    return round(sum(len(each.boundaries) for each in episodes) / max(1, len(episodes)))


class PhaseTimes:
    """A prior that knows when phases end on average: at which share of the duration the first does, the second, ...

    Args:
        episodes: labelled ones to average over, of one task or of several. Those with the most frequent number of
            boundaries count; with fewer or more, the first is not the same event.
    """

    def __init__(self, episodes: Sequence[LabelledEpisode]) -> None:
        count = Counter(len(each.boundaries) for each in episodes).most_common(1)[0][0]
        alike = [each for each in episodes if len(each.boundaries) == count]
        shares = [np.array(each.boundaries, np.float64) / each.length for each in alike]
        self.shares = np.mean(shares, axis=0)

    def boundaries(self, length: int) -> list[int]:
        """Where the phases of an episode of ``length`` frames end."""
        return [round(share * length) for share in self.shares.tolist()]
