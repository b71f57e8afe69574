"""What the policy is made of; the defaults are the ``tiny`` preset, which learns on a CPU."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from dualvla_core.params import Params

TINY = "tiny"
TOWER_STRIDE = 16
"""Pixels of an image one token of the tiny vision tower stands for, along each side."""


class TinyBackboneConfig(Params):
    """The vision-language model that is built from a configuration instead of loaded."""

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


class FlowHeadConfig(Params):
    """The flow-matching action expert."""

    hidden: int = Field(128, ge=8, description="Width of the action expert.")
    layers: int = Field(2, ge=1, description="Transformer layers of the action expert.")
    heads: int = Field(4, ge=1, description="Attention heads of the action expert.")
    visual_features: bool = Field(
        True, description="Whether the expert sees the backbone's image tokens beside the latent actions."
    )
    euler_steps: int = Field(10, ge=1, description="Integration steps from noise to actions (steps).")

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.hidden % self.heads or self.hidden % 2:
            raise ValueError(f"hidden = {self.hidden} is odd or no multiple of heads = {self.heads}")
        return self


class AugmentationConfig(Params):
    """How training samples are varied."""

    shift: int = Field(2, ge=0, description="Largest translation of an image along each side (px, after resizing).")
    brightness: float = Field(0.075, ge=0, lt=1, description="Largest relative change of brightness.")
    state_noise: float = Field(0.01, ge=0, description="Standard deviation added to the normalised state.")


class ModelConfig(Params):
    """DualVLA: backbone, latent action queries and action head."""

    backbone: str = Field(
        TINY, min_length=1, description="'tiny' = built from `tiny_backbone`; else a hub id or folder to load."
    )
    tiny_backbone: TinyBackboneConfig = Field(TinyBackboneConfig(), description="Sizes of the tiny backbone.")
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
    action_head: Literal["flow"] = Field("flow", description="How latent actions become actions.")
    flow: FlowHeadConfig = Field(FlowHeadConfig(), description="The flow-matching action expert.")
    use_state: bool = Field(True, description="Whether the action head sees the robot's state.")

    @model_validator(mode="after")
    def _tower_tokens(self) -> Self:
        if self.backbone == TINY:
            tokens = (self.image_size // TOWER_STRIDE) ** 2
            if self.image_size % TOWER_STRIDE or self.image_tokens != tokens:
                raise ValueError(
                    f"image_tokens = {self.image_tokens} at image_size = {self.image_size}: the tiny backbone makes "
                    f"(image_size / {TOWER_STRIDE})^2 tokens, and the size must be a multiple of {TOWER_STRIDE}"
                )
        return self
