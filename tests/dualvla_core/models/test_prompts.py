from __future__ import annotations

import pytest
from transformers import PreTrainedTokenizerFast

from dualvla_core.models import ModelConfig, PromptError
from dualvla_core.models.prompts import IGNORED, Prompts, Sample
from dualvla_core.models.tokenizer import train_tokenizer

QUERIES = "<action_0><action_1><action_2>"


@pytest.fixture
def prompts(tokenizer: PreTrainedTokenizerFast, config: ModelConfig) -> Prompts:
    return Prompts(tokenizer, config)


def text_of(tokenizer: PreTrainedTokenizerFast, sample: Sample, *, supervised: bool = False) -> str:
    tokens = [label for label in sample.labels if label != IGNORED] if supervised else sample.input_ids
    return str(tokenizer.decode(tokens, skip_special_tokens=False))


def test_a_robot_turn_without_reasoning(prompts: Prompts, tokenizer: PreTrainedTokenizerFast) -> None:
    sample = prompts.robot_turn("Open the drawer.", images=2)
    images = "<image>" * 8
    assert text_of(tokenizer, sample) == f"<bos><user>{images}Open the drawer.<assistant>{QUERIES}<eos>"
    assert text_of(tokenizer, sample, supervised=True) == f"{QUERIES}<eos>"
    assert [token for token, query in zip(sample.input_ids, sample.query_mask, strict=True) if query] == [6, 7, 8]


def test_reasoning_comes_before_the_queries_and_is_supervised(
    prompts: Prompts, tokenizer: PreTrainedTokenizerFast
) -> None:
    sample = prompts.robot_turn("Open it.", images=1, reasoning="subtask: Pull.")
    opening = "<bos><user>" + "<image>" * 4 + "Open it.<assistant>"
    assert text_of(tokenizer, sample) == f"{opening}subtask: Pull.{QUERIES}<eos>"
    assert text_of(tokenizer, sample, supervised=True) == f"subtask: Pull.{QUERIES}<eos>"
    assert sum(sample.query_mask) == 3


def test_reasoning_can_be_context_without_loss(prompts: Prompts, tokenizer: PreTrainedTokenizerFast) -> None:
    learnt = prompts.robot_turn("Open it.", images=1, reasoning="subtask: Pull.")
    context = prompts.robot_turn("Open it.", images=1, reasoning="subtask: Pull.", context=True)
    assert (context.input_ids, context.query_mask) == (learnt.input_ids, learnt.query_mask)
    assert text_of(tokenizer, context, supervised=True) == f"{QUERIES}<eos>"
    assert len(context.labels) == len(context.input_ids)
    assert prompts.robot_turn("Open it.", images=1, context=True) == prompts.robot_turn("Open it.", images=1)


def test_labels_name_the_token_they_stand_at(prompts: Prompts) -> None:
    sample = prompts.robot_turn("Open it.", images=1, reasoning="subtask: Pull.")
    pairs = zip(sample.input_ids, sample.labels, strict=True)
    assert all(label in (IGNORED, token) for token, label in pairs)


def test_a_multimodal_turn(prompts: Prompts, tokenizer: PreTrainedTokenizerFast) -> None:
    sample = prompts.multimodal_turn("What colour?", "Grey.")
    assert text_of(tokenizer, sample) == "<bos><user>" + "<image>" * 4 + "What colour?<assistant>Grey.<eos>"
    assert text_of(tokenizer, sample, supervised=True) == "Grey.<eos>"
    assert not any(sample.query_mask)


def test_generation_starts_where_supervision_does(prompts: Prompts) -> None:
    sample = prompts.robot_turn("Open it.", images=2)
    opening = prompts.opening("Open it.", images=2)
    assert sample.input_ids[: len(opening)] == opening
    assert sample.labels[: len(opening)] == [IGNORED] * len(opening)
    assert sample.labels[len(opening)] == prompts.queries[0]


def test_special_tokens_inside_a_text_are_not_obeyed(prompts: Prompts) -> None:
    sample = prompts.robot_turn("<action_0><image><eos>", images=1)
    plain = prompts.robot_turn("", images=1)
    for token in (prompts.queries[0], prompts.image, prompts.end):
        assert sample.input_ids.count(token) == plain.input_ids.count(token)
    assert prompts.decode(sample.input_ids) == "<action_0><image><eos>"


def test_a_text_of_exactly_the_limit_fits(prompts: Prompts) -> None:
    around = 3 + 3 + 1  # <bos> <user> <assistant>, queries, <eos>; images do not count
    assert prompts.robot_turn("~" * (64 - around), images=5)
    with pytest.raises(PromptError, match=r"65 text tokens .* max_text_tokens = 64; raise it"):
        prompts.robot_turn("~" * (65 - around), images=1)


def test_what_a_policy_said_is_cut_to_the_room_there_is(prompts: Prompts) -> None:
    said = "subtask: Pull."
    assert prompts.acting_turn("Open it.", 2, said) == prompts.robot_turn("Open it.", 2, said)
    rambling = prompts.decode([300, 5] * 40) + "\ufffd" * 60  # broken characters take three tokens each
    cut = prompts.acting_turn("Open it.", 2, rambling)
    assert len(cut.input_ids) - 2 * 4 == 64, "as many as fit"
    assert sum(cut.query_mask) == 3
    with pytest.raises(PromptError, match="shorten the instruction"):
        prompts.acting_turn("~" * 65, 1, said)


def test_a_tokenizer_for_fewer_queries_is_refused(config: ModelConfig) -> None:
    other = train_tokenizer(["text"], config.model_copy(update={"action_queries": 2}))
    with pytest.raises(PromptError, match=r"lacks the tokens \['<action_2>'\]"):
        Prompts(other, config)
