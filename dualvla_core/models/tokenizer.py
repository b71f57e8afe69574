"""The byte-pair tokenizer of the tiny backbone, trained on the texts of the data without any download."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from dualvla_core.models.config import ModelConfig

PAD, BOS, EOS = "<pad>", "<bos>", "<eos>"
USER, ASSISTANT, IMAGE = "<user>", "<assistant>", "<image>"


def action_tokens(count: int) -> list[str]:
    """The names of ``count`` latent action queries."""
    return [f"<action_{index}>" for index in range(count)]


def train_tokenizer(texts: Iterable[str], config: ModelConfig) -> PreTrainedTokenizerFast:
    """A byte-level byte-pair tokenizer of at most ``config.tiny_backbone.vocabulary`` tokens.

    Any text can be encoded, whatever it was trained on, and decodes to itself. It depends on which texts there are and
    how often, not on their order. The end token ends the assistant's turn.
    """
    counts = sorted(Counter(texts).items())
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.tiny_backbone.vocabulary,
        special_tokens=[PAD, BOS, EOS, USER, ASSISTANT, IMAGE, *action_tokens(config.action_queries)],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator((text for text, count in counts for _ in range(count)), trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=bpe,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        extra_special_tokens=[USER, ASSISTANT, IMAGE, *action_tokens(config.action_queries)],
        clean_up_tokenization_spaces=False,
    )
