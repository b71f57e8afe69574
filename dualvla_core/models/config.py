"""What the policy is made of; the defaults are the ``tiny`` preset, which learns on a CPU."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, JsonValue, model_validator

from dualvla_core.params import Params

TOWER_STRIDE = 16
"""Pixels of an image one token of the tiny vision tower stands for, along each side."""


class TinyBackboneConfig(Params):
    """The vision-language model that is built from a few sizes instead of loaded."""

    vision_channels: tuple[int, int, int] = Field(
        (32, 64, 128), description="Width of the first three of the vision tower's four stride-2 convolutions."
    )
    hidden: int = Field(144, ge=8, description="Width of the language model.")
    layers: int = Field(4, ge=1, description="Transformer layers of the language model.")
    heads: int = Field(3, ge=1, description="Attention heads of the language model.")
    intermediate: int = Field(384, ge=8, description="Width of the language model's gated MLP.")
    vocabulary: int = Field(
        640, ge=320, description="Byte-pair vocabulary trained on the data, special tokens included (tokens)."
    )

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.hidden % (2 * self.heads):
            raise ValueError(f"hidden = {self.hidden} is no multiple of 2 * heads = {2 * self.heads}")
        return self


class BackboneConfig(Params):
    """What the vision-language model is and where it comes from.

    ``tiny`` and ``packaged`` need neither: the first is built from sizes, the second from weights that come in Python
    packages. The others are transformers' own families, with the weights of ``source`` or, without one, drawn afresh
    from ``architecture``.
    """

    family: Literal["tiny", "packaged", "idefics3", "internvl", "qwen2_5_vl"] = Field(
        "tiny",
        description="tiny = built from `tiny`; packaged = SmolLM2-135M with EfficientNet-Lite0; idefics3 (SmolVLM "
        "too), internvl and qwen2_5_vl = transformers' families.",
    )
    source: str | None = Field(None, min_length=1, description="Folder or hub id of the weights; none = drawn afresh.")
    architecture: dict[str, JsonValue] | None = Field(
        None,
        description="A transformers configuration with its model_type: the sizes where there is no source, and what "
        "`dualvla estimate` counts without fetching anything.",
    )
    tiny: TinyBackboneConfig = Field(TinyBackboneConfig(), description="Sizes of the tiny backbone.")

    @property
    def pretrained(self) -> bool:
        """Whether it comes with weights, and so with a vocabulary that is older than the action queries."""
        return self.family == "packaged" or self.source is not None

    @model_validator(mode="after")
    def _something_to_build(self) -> Self:
        built = self.family in {"tiny", "packaged"}
        if built and (self.source is not None or self.architecture is not None):
            raise ValueError(f"the family {self.family} has neither source nor architecture; leave them out")
        if not built and self.source is None and self.architecture is None:
            raise ValueError(f"the family {self.family} needs a source (folder or hub id), or an architecture")
        return self


class AdaptationConfig(Params):
    """Which parts of the backbone train, and how; action queries always do, the action head by the training."""

    language: Literal["full", "frozen", "lora", "experts"] = Field(
        "full",
        description="The language model: full = all its weights; lora = one adapter; experts = several, mixed per "
        "token by a learned gate (InstructVLA's MoE adaptation).",
    )
    vision: Literal["full", "frozen"] = Field("full", description="The vision encoder.")
    projector: Literal["full", "frozen"] = Field("full", description="What maps image features to tokens.")
    old_vocabulary: Literal["full", "frozen"] = Field(
        "frozen",
        description="Rows of a pretrained vocabulary; those of new tokens train. A vocabulary made here is all new.",
    )
    rank: int = Field(128, ge=1, description="Rank r of an adapter.")
    alpha: float = Field(256.0, gt=0, description="An adapter's output is scaled by alpha / rank.")
    dropout: float = Field(0.05, ge=0, lt=1, description="Dropout before an adapter.")
    targets: tuple[str, ...] = Field(
        ("q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj"),
        min_length=1,
        description="Names of the linear layers of the language model that get adapters.",
    )
    experts: int = Field(2, ge=2, description="Adapters mixed by the gate.")
    gate_hidden: int = Field(128, ge=1, description="Width of the gate's two hidden layers.")


class ActionExpertConfig(Params):
    """The transformer of either action head."""

    hidden: int = Field(128, ge=8, description="Width of the action expert.")
    layers: int = Field(2, ge=1, description="Transformer layers of the action expert.")
    heads: int = Field(4, ge=1, description="Attention heads of the action expert.")
    visual_features: bool = Field(
        True, description="Whether the expert sees the backbone's image tokens beside the latent actions."
    )
    film: bool = Field(False, description="Whether the mean latent action scales and shifts those image tokens (FiLM).")

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.hidden % self.heads or self.hidden % 2:
            raise ValueError(f"hidden = {self.hidden} is odd or no multiple of heads = {self.heads}")
        return self


class FlowHeadConfig(ActionExpertConfig):
    """The flow-matching action expert."""

    euler_steps: int = Field(10, ge=1, description="Integration steps from noise to actions (steps).")


class DiscreteHeadConfig(ActionExpertConfig):
    """The action expert that predicts bins."""

    bins: int = Field(256, ge=2, description="Equal parts of each dimension's normalised range [-1, 1].")


class AugmentationConfig(Params):
    """How training samples are varied."""

    shift: int = Field(2, ge=0, description="Largest translation of an image along each side (px, after resizing).")
    brightness: float = Field(0.075, ge=0, lt=1, description="Largest relative change of brightness.")
    state_noise: float = Field(0.01, ge=0, description="Standard deviation added to the normalised state.")


class ModelConfig(Params):
    """DualVLA: backbone, latent action queries and action head."""

    backbone: BackboneConfig = Field(BackboneConfig(), description="The vision-language model.")
    adaptation: AdaptationConfig = Field(AdaptationConfig(), description="Which parts of it train.")
    image_size: int = Field(64, ge=16, description="Side every camera's image is resized to (px).")
    image_tokens: int = Field(16, ge=1, description="Tokens the backbone turns one image into (tokens).")
    image_mean: tuple[float, float, float] = Field((0.5, 0.5, 0.5), description="Subtracted from RGB in [0, 1].")
    image_std: tuple[float, float, float] = Field((0.5, 0.5, 0.5), description="What RGB is divided by after that.")
    max_text_tokens: int = Field(192, ge=8, description="Longest text of one sample, images aside (tokens).")
    max_reasoning_tokens: int = Field(96, ge=1, description="Where generated reasoning is cut off (tokens).")
    blind: bool = Field(
        False,
        description="Whether every image is black to it, in training and after: a control that has state, language "
        "and the task's prior alone.",
    )
    action_queries: int = Field(8, ge=1, description="Latent action queries K at the end of a robot turn (tokens).")
    action_chunk: int = Field(12, ge=1, description="Actions predicted at once (control steps).")
    action_head: Literal["flow", "discrete"] = Field(
        "flow", description="How latent actions become actions: by flow matching, or as bins of each dimension."
    )
    flow: FlowHeadConfig = Field(FlowHeadConfig(), description="The flow-matching action expert.")
    discrete: DiscreteHeadConfig = Field(DiscreteHeadConfig(), description="The action expert that predicts bins.")
    use_state: bool = Field(True, description="Whether the action head sees the robot's state.")

    @model_validator(mode="after")
    def _tower_tokens(self) -> Self:
        if self.backbone.family == "tiny":
            tokens = (self.image_size // TOWER_STRIDE) ** 2
            if self.image_size % TOWER_STRIDE or self.image_tokens != tokens:
                raise ValueError(
                    f"image_tokens = {self.image_tokens} at image_size = {self.image_size}: the tiny backbone makes "
                    f"(image_size / {TOWER_STRIDE})^2 tokens, and the size must be a multiple of {TOWER_STRIDE}"
                )
        return self
