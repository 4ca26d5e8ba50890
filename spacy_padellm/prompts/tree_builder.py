"""Prompt trees of texts: question trees for decoding, gold trees for training."""

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
from .tags import tag_token_ids, tags_of_text
from .tree import ABSENT, COUNT, PromptTree
from .tree_writer import TreeWriter
from .trunk import Trunk

MAX_TEMPLATES, MAX_TEMPLATE_TOKENS = 512, 1024  # bounds of the cache of question trees
# Token ids of each text, None for texts that are not yet tokenised.
KnownIds = Sequence[list[int] | None] | None


class TreeBuilder:
    """Writes prompt trees with one tokenizer and one set of words.

    Control pieces and the text are tokenised separately: no text can spell a control piece.

    codec (Codec): The tokenizer.
    prompt (Prompt): The words.
    max_positions (int | None): Number of positions of the model, None if it is unbounded.
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
        self._trunk = Trunk(codec, prompt)
        self._number = codec.encode(NUMBER)
        self._count_heads: dict[str, list[int]] = {}
        self._mention_heads: dict[int, list[int]] = {}
        self._tag_token_ids: dict[tuple[str, ...], list[int]] = {}
        self._templates: dict[tuple[int, tuple[str, ...]], PromptTree] = {}

    def describe(self, label: str) -> str:
        """RETURNS (str): The words for a label in the prompt."""
        return self._prompt.describe(label)

    def count_head(self, label: str) -> list[int]:
        """RETURNS (list[int]): Token ids before the number of a label's mentions."""
        if label not in self._count_heads:
            words = self.codec.encode(self._prompt.describe(label))
            self._count_heads[label] = words + self._number
        return self._count_heads[label]

    def mention_head(self, index: int) -> list[int]:
        """RETURNS (list[int]): Token ids before the `index`-th mention, from 1."""
        if index not in self._mention_heads:
            self._mention_heads[index] = self.codec.encode(self._prompt.mention_head(index))
        return self._mention_heads[index]

    def mention_heads(self, index: Ints) -> Ints:
        """Token ids before mentions.

        index (Ints): Number of each mention, from 1 [mentions].
        RETURNS (Ints): Token ids, ABSENT after the end of a head [mentions, longest head].
        """
        heads = [self.mention_head(k) for k in range(1, int(index.max(initial=0)) + 1)]
        table = np.full((len(heads) + 1, max(map(len, heads), default=0)), ABSENT)
        for k, head in enumerate(heads, 1):
            table[k, : len(head)] = head
        return table[index]

    @cached_property
    def token_bytes(self) -> TokenBytes | None:
        """RETURNS (TokenBytes | None): The bytes of the tokens; None, with a warning, if the
        tokenizer's tokens can't be read as bytes."""
        try:
            return TokenBytes(self.codec)
        except ValueError as error:
            warnings.warn(f"{error} Mentions are decoded without it.", stacklevel=2)
            return None

    def tag_token_ids(self, labels: Sequence[str]) -> list[int] | None:
        """RETURNS (list[int] | None): Token ids of the tags (`tags.tag_token_ids`); None if the
        prompt has no tags."""
        key = tuple(labels)
        if self._prompt.tag_text and key not in self._tag_token_ids:
            self._tag_token_ids[key] = tag_token_ids(self.codec, map(self.count_head, key))
        return self._tag_token_ids.get(key)

    def text_indices(self, tree: PromptTree) -> Ints:
        """RETURNS (Ints): Indices of the text's tokens in a tree; of an echoed text, those of its
        second copy [text tokens]."""
        return self._trunk.text_indices(tree.n_trunk)

    def reserved_positions(self, max_count: int) -> int:
        """RETURNS (int): Positions after a count prompt for the number and a mention's head."""
        # One digit more: an end token must follow a number of as many digits as `max_count`.
        return len(str(max_count)) + 1 + len(self.mention_head(max_count))

    def max_text_tokens(self, heads: Iterable[Sequence[int]], reserved: int = 0) -> int | None:
        """Maximum number of tokens of a text.

        heads (Iterable[Sequence[int]]): Token ids after the text, each in a branch of its own.
        reserved (int): Positions to leave free after these.
        RETURNS (int | None): Number of tokens; 0 or less if no text fits, None if it is unbounded.
        """
        if self.max_positions is None:
            return None
        longest_head = max(map(len, heads), default=0)
        return self._trunk.max_text_tokens(self.max_positions - longest_head - reserved)

    def question_trees(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        max_count: int = 99,
        ids: KnownIds = None,
    ) -> list[PromptTree]:
        """Build trees for decoding: the trunk, and one count branch per label.

        texts (Sequence[str]): The documents' texts.
        labels (Sequence[str]): The labels of the count branches.
        max_count (int): Maximum number of mentions to decode. The model must have positions for the
            number and the head of a mention after each count prompt.
        ids (KnownIds): Token ids of texts that are already tokenised.
        RETURNS (list[PromptTree]): One tree per text, without targets.
        RAISES (ValueError): A text that is longer than the model's window.
        """
        reserved = self.reserved_positions(max_count)
        heads = list(chain.from_iterable(self.count_head(label) for label in labels))
        joined_ids: list[int] = []
        # Trees of texts with equally many tokens have the same shape.
        templates: dict[int, PromptTree] = {}
        lengths = []
        for text, text_ids in zip(texts, self._encode(texts, ids), strict=True):
            n_tokens = len(text_ids)
            if n_tokens not in templates:
                template = self._template(n_tokens, tuple(labels))
                templates[n_tokens] = self._checked(template, text, reserved)
            lengths.append(n_tokens)
            joined_ids += self._trunk.token_ids(text_ids)
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
        """Build trees for training: all labels + mentions prompts of the paper, with answers.

        texts (Sequence[str]): The documents' texts.
        mentions (Sequence[Mapping[str, Sequence[str]]]): For each text its mentions by label, in
            reading order.
        spans (Sequence[Sequence[tuple[int, int, str]] | None] | None): For each text the start and
            end character and label of its mentions, or None if some may be missing. If the prompt
            has `tag_text`, the tags of the text's tokens are targets (see tags.py).
        RETURNS (list[PromptTree]): One tree per text, with targets.
        RAISES (ValueError): A text that is longer than the model's window.
        """
        trees = []
        writers = self._writers(texts, spans, [tuple(answers) for answers in mentions])
        for (text, writer), answers in zip(writers, mentions, strict=True):
            for path, (label, strings) in enumerate(answers.items(), 1):
                self._append_label(writer, path, label, strings)
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
        """Build trees of one branch: the prompts of autoregressive decoders.

        texts (Sequence[str]): The documents' texts.
        heads (Sequence[Sequence[int]]): Token ids of the question after each text.
        answers (Sequence[Sequence[int]] | None): Token ids of the answers; None for decoding.
        spans (Sequence[Sequence[tuple[int, int, str]] | None] | None): As for `gold_trees`.
        labels (Sequence[Sequence[str]] | None): With spans, the labels of each text's question.
        end (int | None): Token id after an answer.
        ids (KnownIds): As for `question_trees`.
        RETURNS (list[PromptTree]): One tree per text, with targets if there are answers.
        RAISES (ValueError): A text that is longer than the model's window.
        """
        trees = []
        for i, (text, writer) in enumerate(self._writers(texts, spans, labels, ids)):
            if answers is None:
                writer.append_branch(1, COUNT, writer.n_trunk, heads[i])
            else:
                writer.append_branch(1, COUNT, writer.n_trunk, heads[i], answers[i], end)
            trees.append(self._checked(writer.tree(("",)), text))
        return trees

    def _append_label(
        self, writer: TreeWriter, path: int, label: str, mentions: Sequence[str]
    ) -> None:
        head, number = self.count_head(label), self.codec.encode_number(len(mentions))
        writer.append_branch(path, COUNT, writer.n_trunk, head, number, self.codec.end_id)
        start = writer.n_trunk + len(head) + len(number)
        for index, mention in enumerate(mentions, 1):
            head, answer = self.mention_head(index), self.codec.encode_mention(mention)
            writer.append_branch(path, index, start, head, answer, self.codec.end_id)

    def _writers(
        self,
        texts: Sequence[str],
        spans: Sequence[Sequence[tuple[int, int, str]] | None] | None = None,
        labels: Sequence[Sequence[str]] | None = None,
        ids: KnownIds = None,
    ) -> Iterator[tuple[str, TreeWriter]]:
        """YIELDS (tuple[str, TreeWriter]): Each text, and a writer that has its trunk."""
        for i, (text, text_ids) in enumerate(zip(texts, self._encode(texts, ids), strict=True)):
            tags = None
            text_spans = spans[i] if spans else None
            if labels and text_spans is not None:
                token_ids = self.tag_token_ids(labels[i])
                if token_ids is not None:
                    tags = tags_of_text(self.codec, text, text_spans, labels[i], token_ids)
            yield text, self._trunk.writer(text_ids, tags)

    def _encode(self, texts: Sequence[str], known: KnownIds) -> list[list[int]]:
        if known is None:
            return self.codec.encode_texts(texts)
        new = iter(
            self.codec.encode_texts(
                [text for text, ids in zip(texts, known, strict=True) if ids is None]
            )
        )
        return [next(new) if ids is None else ids for ids in known]

    def _template(self, n_tokens: int, labels: tuple[str, ...]) -> PromptTree:
        """RETURNS (PromptTree): Trunk and count branches for a text of `n_tokens` tokens, all 0."""
        if (cached := self._templates.get((n_tokens, labels))) is not None:
            return cached
        writer = self._trunk.writer([0] * n_tokens)
        for path, label in enumerate(labels, 1):
            writer.append_branch(path, COUNT, writer.n_trunk, self.count_head(label))
        tree = writer.tree(labels)
        if len(tree) <= MAX_TEMPLATE_TOKENS:
            if len(self._templates) >= MAX_TEMPLATES:
                self._templates.clear()
            self._templates[n_tokens, labels] = tree
        return tree

    def _checked(self, tree: PromptTree, text: str, reserved: int = 0) -> PromptTree:
        """RETURNS (PromptTree): The tree, if the model has positions for it.

        RAISES (ValueError): A tree that needs more positions.
        """
        needed = int(tree.position.max()) + 1 + reserved
        if self._check_length and self.max_positions is not None and needed > self.max_positions:
            raise ValueError(
                f"A text needs {needed} positions for its longest prompt, and the model has "
                f"{self.max_positions}: {text[:60]!r}… ({len(text)} characters). Give the "
                "component less window_tokens, or use a base model with a longer "
                f"window.{_long_label_hint(tree)}"
            )
        return tree


def _long_label_hint(tree: PromptTree) -> str:
    """RETURNS (str): The label whose words need more positions than the text; "" if none do."""
    longest = int(tree.position.argmax())
    n_words = int(tree.position[longest]) + 1 - tree.n_trunk
    label = tree.labels[tree.label[longest] - 1]
    if n_words <= tree.n_trunk or not label:
        return ""
    return (
        f" {n_words} of them are for the label {label[:60]!r}: give it fewer words in "
        "label_definitions."
    )
