"""Tokenizers: trained on the texts of the data without any download, or a pretrained one with the action queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from dualvla_core.models import packaged
from dualvla_core.models.config import ModelConfig
from dualvla_core.models.dialogue import DIALOGUES
from dualvla_core.models.sources import fetched


def action_tokens(count: int) -> list[str]:
    """The names of ``count`` latent action queries."""
    return [f"<action_{index}>" for index in range(count)]


def create_tokenizer(texts: Iterable[str], config: ModelConfig) -> PreTrainedTokenizerBase:
    """The tokenizer a policy starts from: the backbone's own, with action queries, or one trained on ``texts``."""
    if not config.backbone.pretrained:
        return train_tokenizer(texts, config)
    tokenizer: PreTrainedTokenizerBase
    if config.backbone.source is None:
        tokenizer = packaged.load_tokenizer()
    else:
        tokenizer = fetched(AutoTokenizer.from_pretrained, config.backbone.source)
    tokenizer.add_tokens(
        [*DIALOGUES[config.backbone.family].special, *action_tokens(config.action_queries)], special_tokens=True
    )
    return tokenizer


def train_tokenizer(texts: Iterable[str], config: ModelConfig) -> PreTrainedTokenizerFast:
    """A byte-level byte-pair tokenizer of at most ``config.backbone.tiny.vocabulary`` tokens.

    Any text can be encoded, whatever it was trained on, and decodes to itself. It depends on which texts there are and
    how often, not on their order. The end token ends the assistant's turn.
    """
    dialogue = DIALOGUES[config.backbone.family]
    special = [*dict.fromkeys([dialogue.padding, *dialogue.special]), *action_tokens(config.action_queries)]
    counts = sorted(Counter(texts).items())
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.backbone.tiny.vocabulary,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator((text for text, count in counts for _ in range(count)), trainer)
    start, end = dialogue.special[0], dialogue.end
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=bpe,
        pad_token=dialogue.padding,
        bos_token=start,
        eos_token=end,
        extra_special_tokens=[token for token in special if token not in {dialogue.padding, start, end}],
        clean_up_tokenization_spaces=False,
    )
