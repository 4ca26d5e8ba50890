"""The mentions of a batch while they are said, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..documents.spans import Mention
from ..engine.token_runs import Pieces
from ..prompts.tree import PromptTree
from ..tokenization.arrays import Ints
from ..tokenization.codec import Codec
from .logits import check_finite
from .params import DecodingParams

NOTHING = -1  # said where the text allows no token


class MentionBranches:
    """The mention branches of a batch: arrays of one item a mention.

    bounds (DecodingParams): Where mentions stop.
    ends (Sequence[int]): Tokens that end a mention.

    tree, label, index (Ints): Tree, label path and mention path of each [mentions].
    position (Ints): Position of its next token [mentions].
    count_logprob (NDArray[np.float64]): Natural-log of P(count >= index) [mentions].
    n_said (Ints): Tokens said [mentions].
    ids (Ints): These tokens [mentions, at least n_said].
    logprobs, text_logprobs (NDArray[np.float64]): Their natural-log probabilities, by the model and
        among the tokens that the text allows (NaN where not known), of the same shape.
    is_open, ended (NDArray[np.bool_]): Whether more is to be said; whether the end was.
    places (dict[int, tuple[tuple[int, int], ...]]): Start and end characters of what was said.
    texts (dict[int, str]): What was said, where it was read off the text.
    """

    def __init__(self, bounds: DecodingParams, ends: Sequence[int]):
        self._bounds = bounds
        self._ends = np.array(sorted(set(ends)))
        self.tree = self.label = self.index = np.zeros(0, dtype=np.int64)
        self.position = self.n_said = np.zeros(0, dtype=np.int64)
        self.count_logprob = np.zeros(0)
        self.ids = np.zeros((0, 8), dtype=np.int64)
        self.logprobs = self.text_logprobs = np.zeros((0, 8))
        self.is_open = self.ended = np.zeros(0, dtype=bool)
        self.places: dict[int, tuple[tuple[int, int], ...]] = {}
        self.texts: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.tree)

    @property
    def open(self) -> Ints:
        """RETURNS (Ints): The mentions that have not ended."""
        return np.flatnonzero(self.is_open)

    def add(
        self,
        tree: Ints,
        label: Ints,
        index: Ints,
        position: Ints,
        count_logprob: NDArray[np.floating],
    ) -> Ints:
        """Mentions that begin.

        RETURNS (Ints): Their numbers.
        """
        first, n = len(self), len(tree)
        self.tree = np.append(self.tree, tree)
        self.label = np.append(self.label, label)
        self.index = np.append(self.index, index)
        self.position = np.append(self.position, position)
        self.count_logprob = np.append(self.count_logprob, count_logprob)
        self.n_said = np.append(self.n_said, np.zeros(n, dtype=np.int64))
        self.is_open = np.append(self.is_open, np.ones(n, dtype=bool))
        self.ended = np.append(self.ended, np.zeros(n, dtype=bool))
        self.ids = _grown(self.ids, n, 0)
        self.logprobs = _grown(self.logprobs, n, 0)
        self.text_logprobs = _grown(self.text_logprobs, n, np.nan)
        return np.arange(first, len(self))

    def left(self, which: Ints) -> Ints:
        """RETURNS (Ints): Tokens that each may still say: each has to be fed, to be followed by
        the end."""
        left = self._bounds.max_mention_tokens - self.n_said[which]
        if self._bounds.max_positions is None:
            return left
        return np.minimum(left, self._bounds.max_positions - self.position[which])

    def last(self, which: Ints) -> Ints:
        """RETURNS (Ints): The token that each has said last."""
        return self.ids[which, self.n_said[which] - 1]

    def last_tokens(self, which: Ints, row_of: Ints, drafts: Ints) -> Pieces:
        """Feed the last tokens of mentions.

        which (Ints): Open mentions.
        row_of (Ints): The row of each tree.
        drafts (Ints): Tokens that each may say next [mentions, steps].
        RETURNS (Pieces): A token each and its draft, at the positions after those before.
        """
        tree, position = self.tree[which], self.position[which]
        self.position[which] += 1
        last = self.last(which)[:, None]
        label, index = self.label[which], self.index[which]
        return Pieces(row_of[tree], tree, label, index, position, last, drafts)

    def say(
        self,
        which: Ints,
        token: Ints,
        logprob: NDArray[np.floating],
        text_logprob: NDArray[np.floating] | None = None,
    ) -> None:
        """Let open mentions take their next tokens; the log-probability of an end is not the
        mention's.

        RAISES (NotFiniteError): A log-probability that is not finite.
        """
        check_finite(logprob[token != NOTHING])
        end = (token[:, None] == self._ends).any(1)
        self.ended[which[end]] = True
        full = self.n_said[which] == self._bounds.max_mention_tokens
        stops = end | full | (token == NOTHING)
        self.is_open[which[stops]] = False
        which, goes = which[~stops], ~stops
        at = self.n_said[which]
        self._make_room(int(at.max(initial=0)) + 1)
        self.ids[which, at] = token[goes]
        self.logprobs[which, at] = logprob[goes]
        if text_logprob is not None:
            self.text_logprobs[which, at] = text_logprob[goes]
        self.n_said[which] += 1
        if self._bounds.max_positions is not None:
            self.is_open[which] = self.position[which] < self._bounds.max_positions

    def cap_total_length(self, trees: Sequence[PromptTree]) -> None:
        """Stop the mentions of a label that together have said more than the text could hold.

        Mentions are strings of the text, so those of one label come to about the text's length at
        most, even where some nest: twice the trunk's is far beyond. A model that has learnt nothing
        says dozens of endless mentions.

        It is as if all mentions of a label took their tokens in step: at the token with which their
        sum goes beyond the bound, those that have come so far are stopped, also where drafts have
        taken one of them further or to its end.

        trees (Sequence[PromptTree]): The documents' trees.
        """
        bounds = np.array([2 * tree.n_trunk for tree in trees])
        of_trees = np.bincount(self.tree, weights=self.n_said, minlength=len(trees))
        if (of_trees <= bounds).all():
            return
        groups, group = np.unique(np.stack([self.tree, self.label]), axis=1, return_inverse=True)
        group = group.reshape(-1)
        total = np.bincount(group, weights=self.n_said)
        trunks = bounds[groups[0]]
        for number in np.flatnonzero(total > trunks).tolist():
            members = np.flatnonzero(group == number)
            said = self.n_said[members]
            step = 1
            while np.minimum(said, step).sum() <= trunks[number]:
                step += 1
            stopped = members[said >= step]
            self.n_said[stopped] = step
            self.is_open[stopped] = False
            self.ended[stopped] = False

    def said(self, trees: Sequence[PromptTree], codec: Codec) -> list[list[Mention]]:
        """RETURNS (list[list[Mention]]): What was said of each tree, by label and index."""
        found: list[list[Mention]] = [[] for _ in trees]
        for i in np.lexsort((self.index, self.label)).tolist():
            tree, n = int(self.tree[i]), int(self.n_said[i])
            in_text = self.text_logprobs[i, :n].tolist()
            text = self.texts.get(i)
            found[tree].append(
                Mention(
                    trees[tree].labels[self.label[i] - 1],
                    int(self.index[i]),
                    codec.decode(self.ids[i, :n].tolist()) if text is None else text,
                    tuple(self.logprobs[i, :n].tolist()),
                    bool(self.ended[i]),
                    tuple(in_text) if in_text and in_text[0] == in_text[0] else None,
                    self.places.get(i),
                    float(self.count_logprob[i]),
                )
            )
        return found

    def _make_room(self, tokens: int) -> None:
        more = tokens - self.ids.shape[1]
        if more > 0:
            pad = ((0, 0), (0, max(more, self.ids.shape[1])))
            self.ids = np.pad(self.ids, pad)
            self.logprobs = np.pad(self.logprobs, pad)
            self.text_logprobs = np.pad(self.text_logprobs, pad, constant_values=np.nan)


def _grown(table: NDArray[Any], n: int, value: float) -> NDArray[Any]:
    """RETURNS (NDArray): With so many more rows."""
    return np.concatenate([table, np.full((n, table.shape[1]), value, dtype=table.dtype)])
