"""Dual-layer pruning: which frames keep their reasoning, and the baselines the rule is compared with."""

from dualvla_core.pruning.config import PruningConfig
from dualvla_core.pruning.explain import explain_frame
from dualvla_core.pruning.stage import prune_reasoning

__all__ = ["PruningConfig", "explain_frame", "prune_reasoning"]
