"""The trunk of a prompt tree: the text and the words around it, shared by all prompts of a text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..tokenization.arrays import Ints
from ..tokenization.codec import Codec
from .prompt import Prompt
from .tree_writer import TreeWriter


class Trunk:
    """Writes the trunk of prompt trees. The text's tokens are encoded apart from the words.

    codec (Codec): The tokenizer.
    prompt (Prompt): The words around the text.
    """

    def __init__(self, codec: Codec, prompt: Prompt):
        self._echo = prompt.echo
        self._both_ways = prompt.both_ways
        self._before = [*codec.prefix, *codec.encode(prompt.words.before_text)]
        self._before_echo = codec.encode("\n" + prompt.words.before_text)
        self._after = codec.encode(prompt.words.after_text)

    def token_ids(self, text_ids: Sequence[int]) -> list[int]:
        """RETURNS (list[int]): Token ids of the trunk with this text."""
        if self._echo:
            text_ids = [*text_ids, *self._before_echo, *text_ids]
        return [*self._before, *text_ids, *self._after]

    def writer(self, text_ids: Sequence[int], tags: Sequence[int] | None = None) -> TreeWriter:
        """Start a tree.

        text_ids (Sequence[int]): Token ids of the text.
        tags (Sequence[int] | None): Target of each of these tokens; of an echoed text, of its
            second copy.
        RETURNS (TreeWriter): A writer that has the trunk.
        """
        writer = TreeWriter()
        writer.extend_trunk(self._before)
        if self._echo:
            writer.extend_trunk(text_ids, both_ways=self._both_ways)
            writer.extend_trunk(self._before_echo)
        writer.extend_trunk(text_ids, tags, both_ways=self._both_ways)
        writer.extend_trunk(self._after)
        return writer

    def text_indices(self, n_trunk: int) -> Ints:
        """RETURNS (Ints): Indices of the text's tokens in a trunk of `n_trunk` tokens; of an echoed
        text, those of its second copy [text tokens]."""
        end = n_trunk - len(self._after)
        n_tokens = end - len(self._before)
        if self._echo:
            n_tokens = (n_tokens - len(self._before_echo)) // 2
        return np.arange(end - n_tokens, end)

    def max_text_tokens(self, n_positions: int) -> int:
        """RETURNS (int): Maximum number of tokens of a text whose trunk has at most `n_positions`
        tokens; 0 or less if no text fits."""
        free = n_positions - len(self._before) - len(self._after)
        return (free - len(self._before_echo)) // 2 if self._echo else free
