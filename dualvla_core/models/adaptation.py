"""Which parts of a backbone train, and how: frozen, by LoRA adapters, by a mixture of them, or in full."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

from dualvla_core.errors import ConfigError, DependencyError
from dualvla_core.models.config import AdaptationConfig, ModelConfig
from dualvla_core.models.experts import ExpertGate, mix_experts
from dualvla_core.models.families import FAMILIES
from dualvla_core.models.vocabulary import SplitEmbedding

_ADAPTER = "adapter"


@dataclass(frozen=True)
class PartSize:
    """One row of `parameter_table`."""

    module: str
    parameters: int
    trainable: int


def adapt(backbone: Any, config: ModelConfig) -> None:
    """Freeze parts of ``backbone`` and add adapters, in place.

    Raises `ConfigError` when no layer of the language model has a name among ``targets``, `DependencyError` without
    peft where adapters are wanted.
    """
    wanted, family = config.adaptation, FAMILIES[config.backbone.family]
    language = family.part(backbone, "language")
    family.part(backbone, "vision").requires_grad_(wanted.vision == "full")
    family.part(backbone, "projector").requires_grad_(wanted.projector == "full")
    rows = [module for module in backbone.modules() if isinstance(module, SplitEmbedding)]
    if wanted.language != "full":
        for layer in _layers(language):
            layer.requires_grad_(False)
    if wanted.language == "lora":
        _add_adapters(language, wanted, [_ADAPTER])
    elif wanted.language == "experts":
        names = [f"expert_{index}" for index in range(wanted.experts)]
        _add_adapters(language, wanted, names)
        backbone.expert_gate = ExpertGate(
            backbone.get_input_embeddings().embedding_dim, wanted.gate_hidden, wanted.experts
        )
        mix_experts(backbone, _adapted(language), names, wanted.alpha / wanted.rank)
    backbone.get_input_embeddings().requires_grad_(True)  # last, because peft freezes everything but adapters
    for part in rows:
        part.old.requires_grad_(wanted.old_vocabulary == "full")


def merge_adapters(backbone: Any, config: ModelConfig) -> ModelConfig:
    """Add the adapter to the weights it adapts, in place; returns the configuration of the merged policy (all frozen).

    Raises `ConfigError` for a backbone without one, or with experts, whose weights differ from token to token.
    """
    if config.adaptation.language != "lora":
        raise ConfigError(
            f"A language model with adaptation {config.adaptation.language!r} cannot be merged; only 'lora' can."
        )
    language = FAMILIES[config.backbone.family].part(backbone, "language")
    for name, layer in [*language.named_modules()]:
        if hasattr(layer, "lora_A"):
            layer.merge(safe_merge=True)
            parent, _, child = name.rpartition(".")
            setattr(language.get_submodule(parent), child, layer.get_base_layer())
    adaptation = config.adaptation.model_copy(update={"language": "frozen"})
    language.requires_grad_(False)
    return config.model_copy(update={"adaptation": adaptation})


def parameter_table(backbone: Any, head: nn.Module, config: ModelConfig) -> list[PartSize]:
    """How many parameters each part has and how many of them train; tied ones are counted once, with the vocabulary."""
    family = FAMILIES[config.backbone.family]
    language = family.part(backbone, "language")
    vocabulary = [*backbone.get_input_embeddings().parameters(), *backbone.get_output_embeddings().parameters()]
    adapters = [parameter for name, parameter in language.named_parameters() if ".lora_" in name]
    gate = [*backbone.expert_gate.parameters()] if hasattr(backbone, "expert_gate") else []
    parts: dict[str, Iterable[nn.Parameter]] = {
        "vocabulary": vocabulary,
        "adapters": [*adapters, *gate],
        "projector": family.part(backbone, "projector").parameters(),
        "vision": family.part(backbone, "vision").parameters(),
        "language": backbone.parameters(),  # what is left of it
        "action head": head.parameters(),
    }
    counted: set[int] = set()
    rows = []
    for name, parameters in parts.items():
        own = [each for each in dict.fromkeys(parameters) if id(each) not in counted]
        counted |= {id(each) for each in own}
        sizes = [(each.numel(), each.numel() * each.requires_grad) for each in own]
        rows.append(PartSize(name, sum(size for size, _ in sizes), sum(trainable for _, trainable in sizes)))
    return [row for row in rows if row.parameters]


def _layers(language: nn.Module) -> list[nn.Module]:
    """Everything of a language model but its token embeddings."""
    embeddings = language.get_input_embeddings()  # type: ignore[operator]
    return [child for child in language.children() if child is not embeddings]


def _adapted(language: nn.Module) -> list[Any]:
    return [module for module in language.modules() if hasattr(module, "lora_A")]


def _add_adapters(language: nn.Module, config: AdaptationConfig, names: list[str]) -> None:
    try:
        peft: Any = importlib.import_module("peft")
    except ImportError as error:
        raise DependencyError("Adapters need peft; run `pip install 'dualvla[train]'`.") from error
    lora = peft.LoraConfig(
        r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout, target_modules=list(config.targets)
    )
    for name in names:
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Already found a `peft_config`")  # several are meant
                peft.inject_adapter_in_model(lora, language, adapter_name=name)
        except ValueError as error:
            raise ConfigError(
                f"No layer of the language model is called {' or '.join(config.targets)}; correct adaptation.targets."
            ) from error
    for layer in _adapted(language):
        layer.set_adapter(names)
