"""Saying again what was said before, in one forward pass instead of one a token.

Reasoning hardly changes from one decision to the next. So the last text is put after the prompt as a draft, and the
model says in a single pass where it would have chosen another token; up to there the draft is its own greedy text
(speculative decoding, Leviathan et al. 2023, with the past as the draft model). Only the rest takes a pass a token.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dualvla_core.models.dualvla import DualVLA


@torch.inference_mode()
def reason_from_draft(model: DualVLA, images: Tensor, instruction: str, draft: str) -> str:
    """What `DualVLA.reason` says of one observation, sooner where it begins as ``draft`` does.

    The choice of a token may differ where two are equally likely to the last digits: sums are formed in another order.

    Args:
        model: a reasoning policy.
        images: ``[1, C, 3, H, W]`` in [0, 1].
        instruction: one sentence.
        draft: a guess, such as what was said at the last decision; empty = it may well be silent.
    """
    images = images.to(model.device)
    opening = model.prompts.opening(instruction, images.shape[1])
    drafted = model.prompts.encode(draft)[: model.config.max_reasoning_tokens - 1]
    ids = torch.tensor([opening + drafted], device=model.device)
    hidden = model.encode(images, ids, torch.ones_like(ids))[0, len(opening) - 1 :]
    chosen = torch.cat([hidden @ rows.T for rows in model.text_rows], -1).argmax(-1).tolist()
    agreed = next((place for place, token in enumerate(drafted) if chosen[place] != token), len(drafted))
    said = drafted[:agreed]
    if chosen[agreed] not in model.stops:
        said = [*said, chosen[agreed]]
        if len(said) < model.config.max_reasoning_tokens:
            left = model.config.max_reasoning_tokens - len(said)
            said += model.continue_tokens(images, [opening + said], left)[0]
    return model.prompts.decode(said).strip()
