from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from dualvla_core.models import ModelConfig, train_tokenizer
from dualvla_core.models.dialogue import DIALOGUES
from dualvla_core.models.tokenizer import action_tokens
from tests.dualvla_core.models.conftest import TEXTS

TOKENIZER = train_tokenizer(TEXTS, ModelConfig())


def test_special_tokens_come_first_and_are_single(config: ModelConfig, tokenizer: PreTrainedTokenizerFast) -> None:
    expected = ["<pad>", *DIALOGUES["tiny"].special, *action_tokens(config.action_queries)]
    assert tokenizer.convert_ids_to_tokens(list(range(len(expected)))) == expected
    assert [tokenizer.encode(token) for token in expected] == [[index] for index in range(len(expected))]
    assert (tokenizer.pad_token, tokenizer.bos_token, tokenizer.eos_token) == ("<pad>", "<bos>", "<eos>")


def test_frequent_words_become_one_token() -> None:
    tokenizer = train_tokenizer(["drawer drawer"] * 10, ModelConfig())
    assert tokenizer.tokenize("drawer") == ["drawer"]
    assert len(tokenizer.tokenize("window")) == len("window")


@given(st.text())
def test_any_text_decodes_to_itself(text: str) -> None:
    tokens = TOKENIZER.encode(text, add_special_tokens=False, split_special_tokens=True)
    assert TOKENIZER.decode(tokens) == text


def test_it_depends_on_the_texts_and_not_on_their_order(config: ModelConfig) -> None:
    def described(texts: list[str]) -> object:
        return json.loads(train_tokenizer(texts, config).backend_tokenizer.to_str())

    assert described([*TEXTS]) == described([*reversed(TEXTS)])
    assert described([*TEXTS]) != described(["Other words entirely, repeated words entirely."])


def test_it_survives_being_saved(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    for text in (*TEXTS, "<action_1><eos>", "two  spaces ,and don't"):
        assert loaded.encode(text) == tokenizer.encode(text)
        assert loaded.decode(loaded.encode(text)) == text
