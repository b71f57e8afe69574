"""How each family of backbones marks a dialogue: which tokens stand around images and turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Dialogue:
    """The marks of one exchange: ``opening, (image_before, image..., image_after) ..., user text, reply, answer, end``.

    Texts may mix special tokens with plain text; ``image`` and ``end`` are single special tokens.
    """

    special: tuple[str, ...]
    """The special tokens below, in the order in which a tokenizer made here numbers them; the first starts a text."""
    padding: str
    opening: str
    image: str
    """The placeholder that the backbone replaces by one image feature."""
    reply: str
    end: str
    """Ends the assistant's turn."""
    image_before: str = ""
    image_after: str = ""


_CHAT_OPENING = "<|im_start|>user\n"
_CHAT_REPLY = "<|im_end|>\n<|im_start|>assistant\n"

DIALOGUES: Mapping[str, Dialogue] = {
    "tiny": Dialogue(
        special=("<bos>", "<eos>", "<user>", "<assistant>", "<image>"),
        padding="<pad>",
        opening="<bos><user>",
        image="<image>",
        reply="<assistant>",
        end="<eos>",
    ),
    "packaged": Dialogue(
        special=("<|im_start|>", "<|im_end|>", "<image>"),
        padding="<|endoftext|>",
        opening=_CHAT_OPENING,
        image="<image>",
        reply=_CHAT_REPLY,
        end="<|im_end|>",
    ),
    "idefics3": Dialogue(
        special=("<|im_start|>", "<end_of_utterance>", "<fake_token_around_image>", "<global-img>", "<image>"),
        padding="<|endoftext|>",
        opening="<|im_start|>User:",
        image_before="<fake_token_around_image><global-img>",
        image="<image>",
        image_after="<fake_token_around_image>",
        reply="<end_of_utterance>\nAssistant:",
        end="<end_of_utterance>",
    ),
    "internvl": Dialogue(
        special=("<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>"),
        padding="<|endoftext|>",
        opening=_CHAT_OPENING,
        image_before="<img>",
        image="<IMG_CONTEXT>",
        image_after="</img>\n",
        reply=_CHAT_REPLY,
        end="<|im_end|>",
    ),
    "qwen2_5_vl": Dialogue(
        special=("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"),
        padding="<|endoftext|>",
        opening=_CHAT_OPENING,
        image_before="<|vision_start|>",
        image="<|image_pad|>",
        image_after="<|vision_end|>",
        reply=_CHAT_REPLY,
        end="<|im_end|>",
    ),
}
"""By the family of `BackboneConfig`."""
