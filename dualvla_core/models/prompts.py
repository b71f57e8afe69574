"""The one place where text becomes token ids: robot turns, reasoning turns, multimodal turns, and back.

A sample is one exchange; every image of the observation takes ``image_tokens`` placeholders. With the marks of the
tiny backbone (`DIALOGUES` has those of the others)::

    <bos><user><image>...<image>Open the drawer.<assistant><action_0>...<action_K-1><eos>
    <bos><user><image>...<image>Open the drawer.<assistant>subtask: Pull the handle.<action_0>...<action_K-1><eos>
    <bos><user><image>...<image>What colour is the door?<assistant>Grey.<eos>

Supervised is the whole assistant turn: reasoning or answer, action queries and end token (paper section 3.1 of the
base model: emitting the first query *is* the decision to stop talking). Labels stand at the token they name; the loss
shifts them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from dualvla_core.errors import UserError
from dualvla_core.models.config import ModelConfig
from dualvla_core.models.dialogue import DIALOGUES
from dualvla_core.models.tokenizer import action_tokens

IGNORED = -100
"""The label of a token that is not supervised."""


class PromptError(UserError):
    """A text that cannot be turned into a training sample."""


@dataclass(frozen=True)
class Sample:
    """The tokens of one sample, all lists of one length ``L``."""

    input_ids: list[int]
    labels: list[int]
    """The token itself where it is supervised, `IGNORED` elsewhere."""
    query_mask: list[bool]
    """True at the action queries."""


class Prompts:
    """Builds samples for one tokenizer and number of images.

    Raises `PromptError` when the tokenizer lacks a token the prompts need.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, config: ModelConfig) -> None:
        self._tokenizer = tokenizer
        self._config = config
        dialogue = DIALOGUES[config.backbone.family]
        known = tokenizer.get_vocab()
        queries = action_tokens(config.action_queries)
        missing = [token for token in (*dialogue.special, *queries) if token not in known]
        if missing:
            raise PromptError(
                f"The tokenizer lacks the tokens {missing[:3]} ({len(missing)} in all); use one made by "
                f"create_tokenizer for a {config.backbone.family} backbone and {config.action_queries} action queries."
            )
        self.end, self.image = known[dialogue.end], known[dialogue.image]
        self.queries = [known[token] for token in queries]
        """Token ids of the latent action queries."""
        self._opening, self._reply, before, after = (
            list(tokenizer.encode(marks, add_special_tokens=False))
            for marks in (dialogue.opening, dialogue.reply, dialogue.image_before, dialogue.image_after)
        )
        self._image = [*before, *[self.image] * config.image_tokens, *after]

    def robot_turn(self, instruction: str, images: int, reasoning: str = "", *, context: bool = False) -> Sample:
        """Instruction, then (reasoning and) the action queries. Raises `PromptError` when the text is too long.

        Reasoning that is mere ``context`` is read, but not supervised.
        """
        return self._sample(instruction, images, self.encode(reasoning), self.queries, context=context)

    def acting_turn(self, instruction: str, images: int, said: str) -> Sample:
        """As `robot_turn`, after the policy's own words: as much of them as there is room for.

        A policy chooses tokens. Decoded and encoded again they may be more, above all where they are no valid UTF-8,
        and it should not fail for that. Raises `PromptError` when the instruction alone is too long.
        """
        silent = self._length(self.opening(instruction, images), images, [], self.queries)
        room = max(0, self._config.max_text_tokens - silent)
        return self._sample(instruction, images, self.encode(said)[:room], self.queries)

    def multimodal_turn(self, question: str, answer: str, images: int = 1) -> Sample:
        """Question, then answer. Raises `PromptError` when the text is too long."""
        return self._sample(question, images, self.encode(answer), [])

    def opening(self, text: str, images: int) -> list[int]:
        """The tokens up to where the assistant begins: what generation starts from."""
        return [*self._opening, *self._image * images, *self.encode(text), *self._reply]

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of generated tokens, special ones left out."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))

    def _sample(self, text: str, images: int, said: list[int], queries: list[int], *, context: bool = False) -> Sample:
        opening = self.opening(text, images)
        length = self._length(opening, images, said, queries)
        if length > self._config.max_text_tokens:
            raise PromptError(
                f"A sample has {length} text tokens ({text[:40]!r} ...), more than max_text_tokens = "
                f"{self._config.max_text_tokens}; raise it, or shorten the instruction or reasoning."
            )
        turn = [*said, *queries, self.end]
        mask = [False] * (len(opening) + len(said)) + [True] * len(queries) + [False]
        ignored = len(opening) + len(said) * context
        labels = [IGNORED] * ignored + turn[len(said) * context :]
        return Sample(opening + turn, labels, mask)

    def _length(self, opening: list[int], images: int, said: list[int], queries: list[int]) -> int:
        """Tokens of a sample without those of its images."""
        return len(opening) - images * self._config.image_tokens + len(said) + len(queries) + 1

    def encode(self, text: str) -> list[int]:
        """The tokens of a text; names of special tokens inside it are spelled out, never obeyed."""
        return list(self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))
