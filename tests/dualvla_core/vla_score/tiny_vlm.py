"""A real transformers vision-language model, built from a configuration and taught one answer in seconds."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForImageTextToText,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

ANSWER = '{"Thought": "ok", "Result": {"Action": 8, "Intention": 7, "Reasoning": 6, "Alignment": 5}}'
TEMPLATE = (
    "{% for message in messages %}<user>{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}<assistant>"
)
_SIDE, _PATCH, _HIDDEN = 32, 16, 48


def save_tiny_vlm(folder: Path, *, steps: int) -> None:
    """Save LLaVA with a CLIP tower, 0.1 M parameters; after 60 ``steps`` it says `ANSWER` to anything, at 0 babble."""
    torch.manual_seed(0)
    tokenizer = _tokenizer()
    images = CLIPImageProcessorPil(size={"shortest_edge": _SIDE}, crop_size={"height": _SIDE, "width": _SIDE})
    processor = LlavaProcessor(
        images,
        tokenizer,
        patch_size=_PATCH,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE,
        num_additional_image_tokens=1,
    )
    model = AutoModelForImageTextToText.from_config(_config(tokenizer))
    _teach(model, processor, steps)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def _tokenizer() -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    # without splitting into words the whole answer becomes one token
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<pad>", "<bos>", "<eos>", "<user>", "<assistant>", "<image>"]
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=special, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())
    )
    bpe.train_from_iterator([ANSWER] * 50, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        extra_special_tokens={"image_token": "<image>"},
    )


def _config(tokenizer: PreTrainedTokenizerFast) -> LlavaConfig:
    sizes = {"hidden_size": _HIDDEN, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2}
    known = tokenizer.get_vocab()
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=16384,
        bos_token_id=known["<bos>"],
        eos_token_id=known["<eos>"],
        pad_token_id=known["<pad>"],
        **sizes,
    )
    vision = CLIPVisionConfig(image_size=_SIDE, patch_size=_PATCH, **sizes)
    return LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=known["<image>"], vision_feature_layer=-1
    )


def _teach(model: torch.nn.Module, processor: LlavaProcessor, steps: int) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    picture = Image.new("RGB", (_SIDE, _SIDE))
    inputs = processor(text=f"<image>Grade it.<assistant>{ANSWER}<eos>", images=[picture], return_tensors="pt")
    start = inputs["input_ids"][0].tolist().index(processor.tokenizer.convert_tokens_to_ids("<assistant>")) + 1
    labels = inputs["input_ids"].clone()
    labels[:, :start] = -100
    for _ in range(steps):
        loss = model(**inputs, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
