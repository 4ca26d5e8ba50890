"""The mentions of a batch while they are decoded, token by token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..documents.spans import Mention
from ..engine.token_runs import TokenRuns
from ..prompts.tree import PromptTree
from ..tokenization.arrays import Ints
from ..tokenization.codec import Codec
from .logits import check_finite
from .params import ResolvedParams

NOTHING = -1  # in the place of a token where the text allows none


class LocatedText(NamedTuple):
    """A mention's text in its document, and the character spans of its occurrences."""

    text: str
    char_spans: tuple[tuple[int, int], ...]


class MentionBranches:
    """The mention branches of a batch, arrays of one item per mention.

    params (ResolvedParams): Where mentions stop.
    end_ids (Sequence[int]): Tokens that end a mention.

    tree, label, index (Ints): Tree, label path and mention path of each [mentions].
    position (Ints): Position of its next token [mentions].
    count_logprob (NDArray[np.float64]): Natural log of P(count >= index) [mentions].
    n_tokens (Ints): Number of generated tokens [mentions].
    ids (Ints): The generated tokens [mentions, at least n_tokens].
    logprobs, text_logprobs (NDArray[np.float64]): Their natural-log probabilities, by the model and
        among the tokens that the text allows (NaN where unknown), of the same shape.
    is_open, ended (NDArray[np.bool_]): Whether the mention goes on; whether its end was generated.
    """

    def __init__(self, params: ResolvedParams, end_ids: Sequence[int]):
        self._params = params
        self._end_ids = np.array(sorted(set(end_ids)))
        self.tree = self.label = self.index = np.zeros(0, dtype=np.int64)
        self.position = self.n_tokens = np.zeros(0, dtype=np.int64)
        self.count_logprob = np.zeros(0)
        self.ids = np.zeros((0, 8), dtype=np.int64)
        self.logprobs = self.text_logprobs = np.zeros((0, 8))
        self.is_open = self.ended = np.zeros(0, dtype=bool)

    def __len__(self) -> int:
        return len(self.tree)

    @property
    def open(self) -> Ints:
        """RETURNS (Ints): The mentions that go on."""
        return np.flatnonzero(self.is_open)

    def add(
        self,
        tree: Ints,
        label: Ints,
        index: Ints,
        position: Ints,
        count_logprob: NDArray[np.floating],
    ) -> Ints:
        """Add mentions without tokens.

        tree, label, index (Ints): Their paths [mentions].
        position (Ints): Positions of their first tokens [mentions].
        count_logprob (NDArray): Natural log of P(count >= index) [mentions].
        RETURNS (Ints): Their numbers.
        """
        first, n = len(self), len(tree)
        self.tree = np.append(self.tree, tree)
        self.label = np.append(self.label, label)
        self.index = np.append(self.index, index)
        self.position = np.append(self.position, position)
        self.count_logprob = np.append(self.count_logprob, count_logprob)
        self.n_tokens = np.append(self.n_tokens, np.zeros(n, dtype=np.int64))
        self.is_open = np.append(self.is_open, np.ones(n, dtype=bool))
        self.ended = np.append(self.ended, np.zeros(n, dtype=bool))
        self.ids = _with_rows(self.ids, n, 0)
        self.logprobs = _with_rows(self.logprobs, n, 0)
        self.text_logprobs = _with_rows(self.text_logprobs, n, np.nan)
        return np.arange(first, len(self))

    def n_left(self, mentions: Ints) -> Ints:
        """RETURNS (Ints): Tokens that each mention may still generate: each of them is run, to be
        followed by the end."""
        left = self._params.max_mention_tokens - self.n_tokens[mentions]
        if self._params.max_positions is None:
            return left
        return np.minimum(left, self._params.max_positions - self.position[mentions])

    def last(self, mentions: Ints) -> Ints:
        """RETURNS (Ints): The last generated token of each mention."""
        return self.ids[mentions, self.n_tokens[mentions] - 1]

    def last_tokens(self, mentions: Ints, row_of: Ints, drafts: Ints) -> TokenRuns:
        """RETURNS (TokenRuns): The last token of each mention and its draft, at the mention's next
        positions.

        mentions (Ints): Open mentions.
        row_of (Ints): The row of each tree.
        drafts (Ints): Draft tokens of each [mentions, steps].
        """
        tree = self.tree[mentions]
        path = tree, self.label[mentions], self.index[mentions]
        last = self.last(mentions)[:, None]
        return TokenRuns(row_of[tree], *path, self.position[mentions], last, drafts)

    def advance(self, mentions: Ints) -> None:
        """Move mentions to the position after the token that was run last."""
        self.position[mentions] += 1

    def append(
        self,
        mentions: Ints,
        token: Ints,
        logprob: NDArray[np.floating],
        text_logprob: NDArray[np.floating] | None = None,
    ) -> None:
        """Append the next token of open mentions. The end token closes a mention; its
        log-probability does not belong to the mention.

        mentions (Ints): Open mentions.
        token (Ints): Their tokens; NOTHING where the text allows none [mentions].
        logprob (NDArray): Natural-log probabilities [mentions].
        text_logprob (NDArray | None): The same among the tokens that the text allows.
        RAISES (NotFiniteError): A log-probability that is not finite.
        """
        check_finite(logprob[token != NOTHING])
        is_end = (token[:, None] == self._end_ids).any(1)
        self.ended[mentions[is_end]] = True
        is_full = self.n_tokens[mentions] == self._params.max_mention_tokens
        stops = is_end | is_full | (token == NOTHING)
        self.is_open[mentions[stops]] = False
        mentions, goes_on = mentions[~stops], ~stops
        step = self.n_tokens[mentions]
        self._make_room(int(step.max(initial=0)) + 1)
        self.ids[mentions, step] = token[goes_on]
        self.logprobs[mentions, step] = logprob[goes_on]
        if text_logprob is not None:
            self.text_logprobs[mentions, step] = text_logprob[goes_on]
        self.n_tokens[mentions] += 1
        if self._params.max_positions is not None:
            self.is_open[mentions] = self.position[mentions] < self._params.max_positions

    def cap_total_length(self, trees: Sequence[PromptTree]) -> None:
        """Stop the mentions of a label that together are longer than the text could hold.

        Mentions are strings of the text, so the total length of one label's mentions is at most
        about that of the text, even where some nest: twice the trunk's length is far beyond. An
        untrained model generates dozens of endless mentions.

        The result is as if all mentions of a label were generated in step: at the token with which
        their sum exceeds the limit, those that are so long are stopped, also where drafts have
        taken one of them further or to its end.

        trees (Sequence[PromptTree]): The documents' trees.
        """
        limits = np.array([2 * tree.n_trunk for tree in trees])
        of_trees = np.bincount(self.tree, weights=self.n_tokens, minlength=len(trees))
        if (of_trees <= limits).all():
            return
        groups, group = np.unique(np.stack([self.tree, self.label]), axis=1, return_inverse=True)
        group = group.reshape(-1)
        total = np.bincount(group, weights=self.n_tokens)
        limit = limits[groups[0]]
        for number in np.flatnonzero(total > limit).tolist():
            members = np.flatnonzero(group == number)
            n_tokens = self.n_tokens[members]
            step = 1
            while np.minimum(n_tokens, step).sum() <= limit[number]:
                step += 1
            stopped = members[n_tokens >= step]
            self.n_tokens[stopped] = step
            self.is_open[stopped] = False
            self.ended[stopped] = False

    def mentions(
        self, trees: Sequence[PromptTree], codec: Codec, located: Mapping[int, LocatedText]
    ) -> list[list[Mention]]:
        """Collect the mentions of each tree, by label and index.

        trees (Sequence[PromptTree]): The documents' trees.
        codec (Codec): Decodes the tokens of the others than the located ones.
        located (Mapping[int, LocatedText]): Mentions by number that have been found in their texts.
        RETURNS (list[list[Mention]]): One list per tree.
        """
        mentions: list[list[Mention]] = [[] for _ in trees]
        for i in np.lexsort((self.index, self.label)).tolist():
            tree, n = int(self.tree[i]), int(self.n_tokens[i])
            in_text = self.text_logprobs[i, :n].tolist()
            text, char_spans = located.get(i, (None, None))
            mentions[tree].append(
                Mention(
                    trees[tree].labels[self.label[i] - 1],
                    int(self.index[i]),
                    codec.decode(self.ids[i, :n].tolist()) if text is None else text,
                    tuple(self.logprobs[i, :n].tolist()),
                    bool(self.ended[i]),
                    tuple(in_text) if in_text and in_text[0] == in_text[0] else None,
                    char_spans,
                    float(self.count_logprob[i]),
                )
            )
        return mentions

    def _make_room(self, tokens: int) -> None:
        more = tokens - self.ids.shape[1]
        if more > 0:
            pad = ((0, 0), (0, max(more, self.ids.shape[1])))
            self.ids = np.pad(self.ids, pad)
            self.logprobs = np.pad(self.logprobs, pad)
            self.text_logprobs = np.pad(self.text_logprobs, pad, constant_values=np.nan)


def _with_rows(table: NDArray[Any], n: int, value: float) -> NDArray[Any]:
    """RETURNS (NDArray): The table with n more rows."""
    return np.concatenate([table, np.full((n, table.shape[1]), value, dtype=table.dtype)])
