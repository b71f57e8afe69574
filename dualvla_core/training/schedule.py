"""What each step is: its domain, its samples, its learning rate and its random seed.

All of it depends on the configuration and the number of the step alone. So every process agrees without a word, and a
continued training needs nothing but the step it had reached.
"""

from __future__ import annotations

import functools
import math
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dualvla_core.shards.sampler import SampleOrder
from dualvla_core.training.config import TrainingConfig

Domain: TypeAlias = Literal["robot", "multimodal"]
DOMAINS: tuple[Domain, Domain] = ("robot", "multimodal")


def domain_of(config: TrainingConfig, step: int) -> Domain:
    """The domain of ``step`` (from 0): every `multimodal_every`-th is multimodal."""
    every = config.multimodal_every
    return "multimodal" if every and step % every == every - 1 else "robot"


def steps_before(config: TrainingConfig, step: int) -> int:
    """How many steps of the domain of ``step`` come before it."""
    multimodal = step // config.multimodal_every if config.multimodal_every else 0
    return multimodal if domain_of(config, step) == "multimodal" else step - multimodal


def global_batch(config: TrainingConfig, step: int, samples: int) -> NDArray[np.int64]:
    """Indices into the domain's ``samples`` of the batch of ``step``, over all processes.

    Samples come in an exact shuffle per epoch, one epoch after the other without a break: each is seen once before any
    is seen again.
    """
    domain = domain_of(config, step)
    size = config.robot_batch if domain == "robot" else config.multimodal_batch
    first = steps_before(config, step) * size
    return _order(samples, derived_seed(config.seed, DOMAINS.index(domain))).rows(first, first + size)


def parts_of(samples: int, micro_batch: int | None) -> int:
    """In how many equal parts a process takes its ``samples`` of a batch: the fewest of at most ``micro_batch``."""
    largest = min(samples, micro_batch or samples)
    return samples // next(size for size in range(largest, 0, -1) if samples % size == 0)


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Linear warm-up, then constant or half a cosine down to `final_fraction` at the last step."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.learning_rate
    done = (step - config.warmup_steps) / max(1, config.steps - 1 - config.warmup_steps)
    share = config.final_fraction + (1 - config.final_fraction) * (1 + math.cos(math.pi * done)) / 2
    return config.learning_rate * share


def derived_seed(*numbers: int) -> int:
    """A seed of 63 bits that differs wherever one of the ``numbers`` does."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


@functools.lru_cache(maxsize=len(DOMAINS))
def _order(samples: int, seed: int) -> SampleOrder:
    return SampleOrder([samples], seed=seed)
