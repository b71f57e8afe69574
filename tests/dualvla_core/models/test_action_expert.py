from __future__ import annotations

import torch

from dualvla_core.models.action_expert import ConditionTokens, HeadSizes
from dualvla_core.models.config import ActionExpertConfig


def make(film: bool) -> ConditionTokens:
    torch.manual_seed(0)
    config = ActionExpertConfig(hidden=8, heads=2, film=film)
    return ConditionTokens(config, HeadSizes(6, 3, action_size=2, action_chunk=4, action_queries=5))


LATENTS, VISUAL, STATE = torch.randn(2, 5, 6), torch.randn(2, 7, 6), torch.randn(2, 3)


def test_image_tokens_come_first_then_latents_then_the_state() -> None:
    tokens, images = make(film=False)(LATENTS, VISUAL, STATE)
    assert (tokens.shape, images) == ((2, 7 + 5 + 1, 8), 7)
    without, images = make(film=False)(LATENTS, None, None)
    assert images == 0
    assert torch.equal(without, tokens[:, 7:12])


def test_film_starts_as_the_identity() -> None:
    plain, _ = make(film=False)(LATENTS, VISUAL, STATE)
    modulated, _ = make(film=True)(LATENTS, VISUAL, STATE)
    assert torch.equal(modulated, plain)


def test_film_scales_and_shifts_image_tokens_by_the_mean_latent() -> None:
    inputs = make(film=True)
    assert inputs.film is not None
    torch.nn.init.normal_(inputs.film.weight)
    plain, _ = make(film=False)(LATENTS, VISUAL, STATE)
    modulated, _ = inputs(LATENTS, VISUAL, STATE)
    gamma, beta = (plain[:, 7:12].mean(1) @ inputs.film.weight.T).chunk(2, -1)
    torch.testing.assert_close(modulated[:, :7], plain[:, :7] * (1 + gamma[:, None]) + beta[:, None])
    assert torch.equal(modulated[:, 7:], plain[:, 7:])
