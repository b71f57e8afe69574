"""Training shards: robot frames with pruned reasoning, multimodal questions, and normalisation statistics."""

from dualvla_core.shards.build import build_shard
from dualvla_core.shards.config import MultimodalConfig, ShardsConfig, StatisticsConfig
from dualvla_core.shards.dataset import RobotFrame, ShardDataset
from dualvla_core.shards.moments import Moments
from dualvla_core.shards.multimodal import build_multimodal_shard
from dualvla_core.shards.sampler import BatchSampler, SampleOrder
from dualvla_core.shards.statistics import compute_statistics

__all__ = [
    "BatchSampler",
    "Moments",
    "MultimodalConfig",
    "RobotFrame",
    "SampleOrder",
    "ShardDataset",
    "ShardsConfig",
    "StatisticsConfig",
    "build_multimodal_shard",
    "build_shard",
    "compute_statistics",
]
