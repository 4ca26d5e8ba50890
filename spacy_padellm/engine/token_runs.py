"""Runs of neighbouring tokens of many branches, as arrays: what a decode step feeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..prompts.tree import ABSENT, Paths
from ..tokenization.arrays import Ints
from .prompt_rows import Feed


class Pieces:
    """Runs of tokens, one a branch: those that have been said, then drafts of the next ones.

    The logits after the last said token and after each draft are wanted.

    row, tree, label, mention (Ints): Row and path of each [pieces].
    position (Ints): Position of its first token [pieces].
    base (Ints): Tokens that have been said, at least one; ABSENT behind their end [pieces, tokens].
    drafts (Ints | None): Tokens that may be said next; ABSENT behind their end [pieces, steps].

    n_base (Ints): Said tokens of each [pieces].
    """

    def __init__(
        self,
        row: Ints,
        tree: Ints,
        label: Ints,
        mention: Ints,
        position: Ints,
        base: Ints,
        drafts: Ints | None = None,
    ):
        self.row, self.position = row, position
        self._branch = (tree, label, mention)
        drafts = np.zeros((len(row), 0), dtype=np.int64) if drafts is None else drafts
        self._table = np.concatenate([base, drafts], axis=1)
        self._there = self._table != ABSENT
        self.n_base = (base != ABSENT).sum(1)
        self._n_wanted = 1 + (drafts != ABSENT).sum(1)
        self._steps = 1 + drafts.shape[1]
        self._of, _ = np.nonzero(self._there)
        lengths = self._there.sum(1)
        self._within = np.arange(len(self._of)) - np.repeat(np.cumsum(lengths) - lengths, lengths)

    def feed(self) -> Feed:
        """RETURNS (Feed): Their tokens, joined."""
        position = self.position[self._of] + self._within
        tree, label, mention = (part[self._of] for part in self._branch)
        paths = Paths(tree, label, mention, position, position)
        wanted = np.flatnonzero(self._within >= self.n_base[self._of] - 1)
        return Feed(self.row[self._of], self._table[self._there], paths, wanted)

    def logit_rows(self, first: int) -> Ints:
        """Which of the wanted logits are those of each piece.

        first (int): Wanted logits before those of these pieces.
        RETURNS (Ints): Rows of the logits; ABSENT behind a draft's end [pieces, 1 + steps].
        """
        steps = np.arange(self._steps)
        start = first + np.cumsum(self._n_wanted) - self._n_wanted
        return np.where(steps < self._n_wanted[:, None], start[:, None] + steps, ABSENT)

    def behind(self, n_tokens: Ints) -> NDArray[np.bool_]:
        """RETURNS (NDArray[np.bool_]): Of the joined tokens, those behind the first few of their
        piece [tokens]."""
        return self._within >= n_tokens[self._of]


def feed_of_pieces(groups: Sequence[Pieces]) -> tuple[Feed, list[Ints]]:
    """Join groups of pieces.

    RETURNS (tuple[Feed, list[Ints]]): All of their tokens, and each group's rows of the logits.
    """
    feeds = [group.feed() for group in groups]
    rows, wanted = [], []
    n_tokens = n_wanted = 0
    for group, feed in zip(groups, feeds, strict=True):
        rows.append(group.logit_rows(n_wanted))
        wanted.append(n_tokens + feed.wanted)
        n_tokens += len(feed.row)
        n_wanted += len(feed.wanted)
    joined = Feed(
        np.concatenate([feed.row for feed in feeds]),
        np.concatenate([feed.ids for feed in feeds]),
        Paths(*(np.concatenate(part) for part in zip(*(f.paths for f in feeds), strict=True))),
        np.concatenate(wanted),
    )
    return joined, rows
