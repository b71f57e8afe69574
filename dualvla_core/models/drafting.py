"""Saying again what was said before, in one forward pass instead of one a token.

Reasoning hardly changes from one decision to the next. So the last text is put after the prompt as a draft, and the
model says in a single pass where it would have chosen another token; up to there the draft is its own greedy text
(speculative decoding, Leviathan et al. 2023, with the past as the draft model). Only the rest takes a pass a token.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dualvla_core.models.dualvla import DualVLA


@torch.inference_mode()
def reason_from_drafts(model: DualVLA, images: Tensor, instruction: Sequence[str], drafts: Sequence[str]) -> list[str]:
    """What `DualVLA.reason` says of B observations, sooner where it begins as the drafts do.

    The choice of a token may differ where two are equally likely to the last digits: sums are formed in another order.

    Args:
        model: a reasoning policy.
        images: ``[B, C, 3, H, W]`` in [0, 1].
        instruction: B sentences.
        drafts: B guesses, such as what was said at the last decision; empty = it may well be silent.
    """
    images = images.to(model.device)
    most = model.config.max_reasoning_tokens
    openings = [model.prompts.opening(each, images.shape[1]) for each in instruction]
    drafted = [model.prompts.encode(draft)[: most - 1] for draft in drafts]
    said, ended = [], []
    for draft, chosen in zip(drafted, _choices(model, images, openings, drafted), strict=True):
        agreed = next((place for place, token in enumerate(draft) if chosen[place] != token), len(draft))
        stopped = chosen[agreed] in model.stops
        said.append(draft[:agreed] if stopped else [*draft[:agreed], chosen[agreed]])
        ended.append(stopped or len(said[-1]) == most)
    rows = [row for row, done in enumerate(ended) if not done]
    if rows:
        left = [most - len(said[row]) for row in rows]
        more = model.continue_tokens(images[rows], [openings[row] + said[row] for row in rows], max(left))
        for row, tokens, room in zip(rows, more, left, strict=True):
            said[row] = said[row] + tokens[:room]
    return [model.prompts.decode(tokens).strip() for tokens in said]


def _choices(
    model: DualVLA, images: Tensor, openings: Sequence[list[int]], drafts: Sequence[list[int]]
) -> list[list[int]]:
    """The likeliest token at each place of the drafts, and the one after each of them."""
    texts = [opening + draft for opening, draft in zip(openings, drafts, strict=True)]
    length, padding = max(map(len, texts)), int(model.tokenizer.pad_token_id)
    ids = torch.tensor([text + [padding] * (length - len(text)) for text in texts], device=model.device)
    mask = torch.tensor([[1] * len(text) + [0] * (length - len(text)) for text in texts], device=model.device)
    hidden = model.encode(images, ids, mask)
    chosen = []
    for states, opening, text in zip(hidden, openings, texts, strict=True):
        drafted = states[len(opening) - 1 : len(text)]
        chosen.append(torch.cat([drafted @ rows.T for rows in model.text_rows], -1).argmax(-1).tolist())
    return chosen
