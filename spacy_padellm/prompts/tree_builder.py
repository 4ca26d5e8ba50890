"""Prompt trees out of texts: for asking (trunk and count branches) and for training (all of it)."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain

import numpy as np

from ..tokenization.arrays import Ints
from ..tokenization.codec import Codec
from ..tokenization.token_bytes import TokenBytes
from .prompt import NUMBER, Prompt
from .tags import Tags
from .tree import ABSENT, COUNT, PromptTree
from .tree_writer import TreeWriter

MOST_SHAPES, KEPT_TOKENS = 512, 1024  # shapes of trees that are kept, and the largest
# For each text its token ids, None where they are not known.
KnownIds = Sequence[list[int] | None] | None


class TreeBuilder:
    """Writes prompt trees with one tokenizer and one set of words.

    Control pieces and the text are tokenised apart: no text can spell a control piece.

    codec (Codec): The tokenizer.
    prompt (Prompt): The words.
    max_positions (int | None): Positions the model can tell apart, None for any number.
    check_length (bool): Whether a tree that needs more positions is an error.
    """

    def __init__(
        self,
        codec: Codec,
        prompt: Prompt,
        max_positions: int | None = None,
        *,
        check_length: bool = True,
    ):
        self.codec = codec
        self.max_positions = max_positions
        self._check_length = check_length
        self._prompt = prompt
        self._before = [*codec.prefix, *codec.encode(prompt.words.before_text)]
        self._again = codec.encode("\n" + prompt.words.before_text)
        self._after = codec.encode(prompt.words.after_text)
        self._number = codec.encode(NUMBER)
        self._count_heads: dict[str, list[int]] = {}
        self._mention_heads: dict[int, list[int]] = {}
        self._tags = Tags(codec, self.count_head)
        self._templates: dict[tuple[int, tuple[str, ...]], PromptTree] = {}

    def describe(self, label: str) -> str:
        """RETURNS (str): What the model reads for a label."""
        return self._prompt.describe(label)

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

    def mention_heads(self, index: Ints) -> Ints:
        """RETURNS (Ints): The head of each mention; ABSENT behind its end [mentions, tokens]."""
        heads = [self.mention_head(k) for k in range(1, int(index.max(initial=0)) + 1)]
        table = np.full((len(heads) + 1, max(map(len, heads), default=0)), ABSENT)
        for k, head in enumerate(heads, 1):
            table[k, : len(head)] = head
        return table[index]

    @cached_property
    def token_bytes(self) -> TokenBytes | None:
        """RETURNS (TokenBytes | None): The bytes of the tokens; None, with a warning, where the
        tokenizer's can't be read as bytes."""
        try:
            return TokenBytes(self.codec)
        except ValueError as error:
            warnings.warn(f"{error} Mentions are decoded without it.", stacklevel=2)
            return None

    def tag_token_ids(self, labels: Sequence[str]) -> list[int] | None:
        """RETURNS (list[int] | None): Tokens that the text's tags are said with (`Tags.symbols`);
        None where the prompt has no tags."""
        return self._tags.symbols(labels) if self._prompt.tag_text else None

    def text_indices(self, tree: PromptTree) -> Ints:
        """RETURNS (Ints): Indices of the text's tokens in a tree; of an echoed text, the second."""
        end = tree.n_trunk - len(self._after)
        if self._prompt.echo:
            n_tokens = (end - len(self._before) - len(self._again)) // 2
        else:
            n_tokens = end - len(self._before)
        return np.arange(end - n_tokens, end)

    def reserved_positions(self, max_count: int) -> int:
        """RETURNS (int): Positions behind a count prompt for its number, and a mention's head."""
        # One digit more: a number that passes the bound is read on for its end.
        return len(str(max_count)) + 1 + len(self.mention_head(max_count))

    def max_text_tokens(self, heads: Iterable[Sequence[int]], room: int = 0) -> int | None:
        """Positions that the model has for a text.

        heads (Iterable[Sequence[int]]): What is asked behind it, each in a branch of its own.
        room (int): Positions to be left behind those.
        RETURNS (int | None): The positions; 0 or less for none, None for any number.
        """
        if self.max_positions is None:
            return None
        taken = len(self._before) + len(self._after) + max(map(len, heads), default=0) + room
        free = self.max_positions - taken
        return (free - len(self._again)) // 2 if self._prompt.echo else free

    def question_trees(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        max_count: int = 99,
        ids: KnownIds = None,
    ) -> list[PromptTree]:
        """Trees that ask for the counts: the trunk, and one count branch a label.

        texts (Sequence[str]): The documents' texts.
        labels (Sequence[str]): The labels to ask for.
        max_count (int): Most mentions that will be asked for. The window must have room for the
            number and the head of a mention behind each count prompt.
        ids (KnownIds): Token ids of the texts that were tokenised before.
        RETURNS (list[PromptTree]): One tree a text, without targets.
        RAISES (ValueError): A text that is longer than the model's window.
        """
        room = self.reserved_positions(max_count)
        heads = list(chain.from_iterable(self.count_head(label) for label in labels))
        joined_ids: list[int] = []
        # Texts of as many tokens have trees of one shape.
        templates: dict[int, PromptTree] = {}
        lengths = []
        for text, said in zip(texts, self._encoded(texts, ids), strict=True):
            n_tokens = len(said)
            if n_tokens not in templates:
                template = self._template(n_tokens, tuple(labels))
                templates[n_tokens] = self._checked(template, text, room)
            lengths.append(n_tokens)
            joined_ids += self._before
            joined_ids += said
            if self._prompt.echo:
                joined_ids += self._again
                joined_ids += said
            joined_ids += self._after
            joined_ids += heads
        joined = np.array(joined_ids, dtype=np.int64)
        trees, start = [], 0
        for n_tokens in lengths:
            template = templates[n_tokens]
            end = start + len(template)
            trees.append(PromptTree(template.shape, joined[start:end], template.target))
            start = end
        return trees

    def gold_trees(
        self,
        texts: Sequence[str],
        mentions: Sequence[Mapping[str, Sequence[str]]],
        spans: Sequence[Sequence[tuple[int, int, str]] | None] | None = None,
    ) -> list[PromptTree]:
        """Trees that hold the answers too: all labels + mentions prompts of the paper, once each.

        texts (Sequence[str]): The documents' texts.
        mentions (Sequence[Mapping[str, Sequence[str]]]): For each text, the labels to ask for,
            each with its mentions in reading order.
        spans (Sequence[Sequence[tuple[int, int, str]] | None] | None): For each text the start and
            end character and label of its mentions, or None where some may be missing. Where the
            prompt has `tag_text`, the tokens of the text get tags for targets (see tags.py).
        RETURNS (list[PromptTree]): One tree a text, with targets.
        RAISES (ValueError): A text that is longer than the model's window.
        """
        trees = []
        trunks = self._trunks(texts, spans, [tuple(answers) for answers in mentions])
        for (text, writer), answers in zip(trunks, mentions, strict=True):
            for path, (label, said) in enumerate(answers.items(), 1):
                self._answer_label(writer, path, label, said)
            trees.append(self._checked(writer.tree(tuple(answers)), text))
        return trees

    def sequence_trees(
        self,
        texts: Sequence[str],
        heads: Sequence[Sequence[int]],
        answers: Sequence[Sequence[int]] | None = None,
        spans: Sequence[Sequence[tuple[int, int, str]] | None] | None = None,
        labels: Sequence[Sequence[str]] | None = None,
        end: int | None = None,
        ids: KnownIds = None,
    ) -> list[PromptTree]:
        """Trees of one branch: a text and one question, as an autoregressive decoder asks it.

        texts (Sequence[str]): The documents' texts.
        heads (Sequence[Sequence[int]]): Token ids that ask, behind each text.
        answers (Sequence[Sequence[int]] | None): Token ids of the answers, None to ask.
        spans (Sequence[Sequence[tuple[int, int, str]] | None] | None): As for `gold_trees`.
        labels (Sequence[Sequence[str]] | None): With spans, the labels that each text is asked for.
        end (int | None): The token that ends an answer.
        ids (KnownIds): As for `question_trees`.
        RETURNS (list[PromptTree]): One tree a text, with targets where there are answers.
        RAISES (ValueError): A text that is longer than the model's window.
        """
        trees = []
        for i, (text, writer) in enumerate(self._trunks(texts, spans, labels, ids)):
            if answers is None:
                writer.branch(1, COUNT, writer.trunk, heads[i])
            else:
                writer.branch(1, COUNT, writer.trunk, heads[i], answers[i], end)
            trees.append(self._checked(writer.tree(("",)), text))
        return trees

    def _answer_label(
        self, writer: TreeWriter, path: int, label: str, mentions: Sequence[str]
    ) -> None:
        head, number = self.count_head(label), self.codec.encode_number(len(mentions))
        writer.branch(path, COUNT, writer.trunk, head, number, self.codec.end_id)
        start = writer.trunk + len(head) + len(number)
        for index, mention in enumerate(mentions, 1):
            said = self.codec.encode_mention(mention)
            writer.branch(path, index, start, self.mention_head(index), said, self.codec.end_id)

    def _trunks(
        self,
        texts: Sequence[str],
        spans: Sequence[Sequence[tuple[int, int, str]] | None] | None = None,
        labels: Sequence[Sequence[str]] | None = None,
        ids: KnownIds = None,
    ) -> Iterator[tuple[str, TreeWriter]]:
        for i, (text, said) in enumerate(zip(texts, self._encoded(texts, ids), strict=True)):
            tags = None
            if self._prompt.tag_text and spans and labels and (found := spans[i]) is not None:
                tags = self._tags.of(text, found, labels[i])
            yield text, self._trunk(said, tags)

    def _encoded(self, texts: Sequence[str], known: KnownIds) -> list[list[int]]:
        if known is None:
            return self.codec.encode_texts(texts)
        new = iter(
            self.codec.encode_texts(
                [text for text, ids in zip(texts, known, strict=True) if ids is None]
            )
        )
        return [next(new) if ids is None else ids for ids in known]

    def _trunk(self, ids: Sequence[int], tags: Sequence[int] | None = None) -> TreeWriter:
        writer = TreeWriter()
        writer.trunk_piece(self._before)
        if self._prompt.echo:
            writer.trunk_piece(ids, both_ways=self._prompt.both_ways)
            writer.trunk_piece(self._again)
        writer.trunk_piece(ids, tags, both_ways=self._prompt.both_ways)
        writer.trunk_piece(self._after)
        return writer

    def _template(self, n_tokens: int, labels: tuple[str, ...]) -> PromptTree:
        """RETURNS (PromptTree): Trunk and count branches for a text of `n_tokens` tokens, all 0."""
        if (known := self._templates.get((n_tokens, labels))) is not None:
            return known
        writer = self._trunk([0] * n_tokens)
        for path, label in enumerate(labels, 1):
            writer.branch(path, COUNT, writer.trunk, self.count_head(label))
        tree = writer.tree(labels)
        if len(tree) <= KEPT_TOKENS:
            if len(self._templates) >= MOST_SHAPES:
                self._templates.clear()
            self._templates[n_tokens, labels] = tree
        return tree

    def _checked(self, tree: PromptTree, text: str, room: int = 0) -> PromptTree:
        needed = int(tree.position.max()) + 1 + room
        if self._check_length and self.max_positions is not None and needed > self.max_positions:
            raise ValueError(
                f"A text needs {needed} positions for its longest prompt, and the model has "
                f"{self.max_positions}: {text[:60]!r}… ({len(text)} characters). Give the "
                "component less window_tokens, or use a base model with a longer "
                f"window.{_blame(tree)}"
            )
        return tree


def _blame(tree: PromptTree) -> str:
    """RETURNS (str): Which label takes the room, where that is more than the text does."""
    longest = int(tree.position.argmax())
    n_words = int(tree.position[longest]) + 1 - tree.n_trunk
    label = tree.labels[tree.label[longest] - 1]
    if n_words <= tree.n_trunk or not label:
        return ""
    return (
        f" {n_words} of them are for the label {label[:60]!r}: give it fewer words in "
        "label_definitions."
    )
