"""Makes the action head a configuration names."""

from __future__ import annotations

from torch import nn

from dualvla_core.models.action_expert import HeadSizes
from dualvla_core.models.bin_expert import BinExpert
from dualvla_core.models.config import ModelConfig
from dualvla_core.models.flow_expert import FlowExpert


def create_action_head(
    config: ModelConfig, *, backbone_width: int, state_size: int | None, action_size: int
) -> nn.Module:
    """An `ActionHead` with weights drawn afresh, from torch's global generator.

    Args:
        config: which one, and its sizes.
        backbone_width: width D of the backbone.
        state_size: S; None = no state.
        action_size: A.
    """
    sizes = HeadSizes(backbone_width, state_size, action_size, config.action_chunk, config.action_queries)
    if config.action_head == "discrete":
        return BinExpert(config.discrete, sizes)
    return FlowExpert(config.flow, sizes)
