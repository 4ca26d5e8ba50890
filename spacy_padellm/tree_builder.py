"""Prompt trees out of texts: for asking (trunk and count branches) and for training (all of it)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .model.codec import Codec
from .prompts import NUMBER, Prompt
from .tree import COUNT, NO_TARGET, TRUNK, PromptTree


class TreeBuilder:
    """Writes prompt trees with one tokenizer and one set of words.

    Control pieces and the text are tokenised apart: no text can spell a control piece.

    codec (Codec): The tokenizer.
    prompt (Prompt): The words.
    max_positions (int | None): Positions the model can tell apart, None for any number.
    """

    def __init__(self, codec: Codec, prompt: Prompt, max_positions: int | None = None):
        self.codec = codec
        self.max_positions = max_positions
        self._prompt = prompt
        self._before = [*codec.prefix, *codec.encode(prompt.words.before_text)]
        self._after = codec.encode(prompt.words.after_text)
        self._number = codec.encode(NUMBER)
        self._count_heads: dict[str, list[int]] = {}
        self._mention_heads: dict[int, list[int]] = {}

    def count_head(self, label: str) -> list[int]:
        """RETURNS (list[int]): Token ids that ask for the number of a label's mentions."""
        if label not in self._count_heads:
            words = self.codec.encode(self._prompt.describe(label))
            self._count_heads[label] = words + self._number
        return self._count_heads[label]

    def mention_head(self, index: int) -> list[int]:
        """RETURNS (list[int]): Token ids that ask for the `index`-th mention, from 1."""
        if index not in self._mention_heads:
            self._mention_heads[index] = self.codec.encode(self._prompt.mention_head(index))
        return self._mention_heads[index]

    def ask(
        self, texts: Sequence[str], labels: Sequence[str], max_count: int = 99
    ) -> list[PromptTree]:
        """Trees that ask for the counts: the trunk, and one count branch a label.

        texts (Sequence[str]): The documents' texts.
        labels (Sequence[str]): The labels to ask for.
        max_count (int): Most mentions that will be asked for. The window must have room for the
            number and the head of a mention behind each count prompt.
        RETURNS (list[PromptTree]): One tree a text, without targets.
        RAISES (ValueError): A text that is longer than the model's window.
        """
        # One digit more: a number that passes the bound is read on for its end.
        room = len(str(max_count)) + 1 + len(self.mention_head(max_count))
        return [
            self._tree(text, ids, labels, None, room)
            for text, ids in zip(texts, self.codec.encode_texts(texts), strict=True)
        ]

    def answer(
        self, texts: Sequence[str], mentions: Sequence[Mapping[str, Sequence[str]]]
    ) -> list[PromptTree]:
        """Trees that hold the answers too: all labels + mentions prompts of the paper, once each.

        texts (Sequence[str]): The documents' texts.
        mentions (Sequence[Mapping[str, Sequence[str]]]): For each text, the labels to ask for,
            each with its mentions in reading order.
        RETURNS (list[PromptTree]): One tree a text, with targets.
        RAISES (ValueError): A text that is longer than the model's window.
        """
        return [
            self._tree(text, ids, list(answers), answers)
            for text, ids, answers in zip(
                texts, self.codec.encode_texts(texts), mentions, strict=True
            )
        ]

    def _tree(
        self,
        text: str,
        text_ids: Sequence[int],
        labels: Sequence[str],
        answers: Mapping[str, Sequence[str]] | None,
        room: int = 0,
    ) -> PromptTree:
        trunk = [*self._before, *text_ids, *self._after]
        writer = _TreeWriter()
        writer.branch(TRUNK, COUNT, 0, trunk)
        for path, label in enumerate(labels, 1):
            head = self.count_head(label)
            if answers is None:
                writer.branch(path, COUNT, len(trunk), head)
                continue
            mentions = answers[label]
            number = self.codec.encode_number(len(mentions))
            writer.branch(path, COUNT, len(trunk), head, number, self.codec.end_id)
            start = len(trunk) + len(head) + len(number)
            for index, mention in enumerate(mentions, 1):
                said = self.codec.encode_mention(mention)
                writer.branch(path, index, start, self.mention_head(index), said, self.codec.end_id)
        tree = writer.tree(tuple(labels))
        self._check_window(tree, text, room)
        return tree

    def _check_window(self, tree: PromptTree, text: str, room: int) -> None:
        needed = int(tree.position.max()) + 1 + room
        if self.max_positions is not None and needed > self.max_positions:
            raise ValueError(
                f"A document needs {needed} positions for its longest prompt, and the model has "
                f"{self.max_positions}: {text[:60]!r}… ({len(text)} characters). Split it into "
                "shorter documents, or use a base model with a longer window."
            )


class _TreeWriter:
    def __init__(self) -> None:
        self._ids: list[int] = []
        self._position: list[int] = []
        self._label: list[int] = []
        self._mention: list[int] = []
        self._target: list[int] = []

    def branch(
        self,
        label: int,
        mention: int,
        start: int,
        head: Sequence[int],
        answer: Sequence[int] = (),
        end: int | None = None,
    ) -> None:
        ids = [*head, *answer]
        target = [NO_TARGET] * len(ids)
        if end is not None:
            target[len(head) - 1 :] = [*answer, end]
        self._ids += ids
        self._position += range(start, start + len(ids))
        self._label += [label] * len(ids)
        self._mention += [mention] * len(ids)
        self._target += target

    def tree(self, labels: tuple[str, ...]) -> PromptTree:
        columns = (self._ids, self._position, self._label, self._mention, self._target)
        return PromptTree(labels, *(np.array(column, dtype=np.int64) for column in columns))
