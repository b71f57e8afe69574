"""A mixture of LoRA experts with a learned gate per token: h = W x + s * sum_i lambda_i B_i A_i x.

As in InstructVLA: the language model runs twice, first without experts for the hidden states from which the gate
decides for each token how much of each expert it gets, then with them. The gate is the same for all layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import DynamicCache


class ExpertGate(nn.Module):
    """Hidden states ``[B, L, D]`` to shares ``[B, L, E]`` that add up to 1."""

    def __init__(self, width: int, hidden: int, experts: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, experts)
        )

    def forward(self, hidden: Tensor) -> Tensor:
        """``[B, L, D]`` to ``[B, L, E]``."""
        shares: Tensor = self.layers(hidden).softmax(-1)
        return shares


def mix_experts(backbone: Any, layers: Sequence[Any], names: Sequence[str], scale: float) -> None:
    """Make every forward of ``backbone.model`` ask ``backbone.expert_gate`` first, and weigh the experts by it.

    Args:
        backbone: with the gate.
        layers: peft's LoRA layers, each with all experts active.
        names: of the experts, in the order of the gate's outputs.
        scale: alpha / rank.
    """
    unmixed: WeakKeyDictionary[Any, DynamicCache] = WeakKeyDictionary()  # the first pass's own cache, per generation
    asking = False

    def set_shares(shares: Sequence[Tensor | float]) -> None:
        for layer in layers:
            for name, share in zip(names, shares, strict=True):
                layer.scaling[name] = scale * share

    def ask_gate(model: nn.Module, positional: tuple[Any, ...], given: dict[str, Any]) -> None:
        nonlocal asking
        if asking:
            return
        first = dict(given)
        cache = given.get("past_key_values")
        if cache is not None:
            first["past_key_values"] = unmixed.setdefault(cache, DynamicCache())
        asking = True
        set_shares([0.0] * len(names))
        try:
            with torch.no_grad():
                hidden = model(*positional, **first).last_hidden_state
        finally:
            asking = False
        set_shares(backbone.expert_gate(hidden).split(1, -1))

    backbone.model.register_forward_pre_hook(ask_gate, with_kwargs=True)
