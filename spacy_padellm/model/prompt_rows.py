"""Rows of prompts that grow token by token: through a KV cache, or computed anew each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from ..tree import PADDING, TRUNK, UNUSED, Ints, Paths
from .cache import BIN, SlotCache

if TYPE_CHECKING:
    from .language_model import LanguageModel


@dataclass
class Feed:
    """Tokens for one forward pass, each array of shape [n]; ancestors before descendants.

    row (Ints): Row of each token.
    ids (Ints): Token ids.
    paths (Paths): Paths of each token.
    wanted (Ints): Indices of the tokens whose next-token logits are wanted.
    """

    row: Ints
    ids: Ints
    paths: Paths
    wanted: Ints


class PromptRows(Protocol):
    """Rows of prompts that a decoder feeds."""

    def feed(self, feed: Feed) -> torch.Tensor:
        """RETURNS (torch.Tensor): Logits after the wanted tokens [wanted, vocabulary],
        in the network's dtype."""

    def forget(self, row: int, tree: int, label: int) -> None:
        """Drop the mention branches of a label; nobody sees them any more."""

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with some of the rows; they are counted anew, in the order given."""


class CachedRows:
    """Rows behind a KV cache; a row may hold several trees.

    model (LanguageModel): The model, whose attention takes path masks.
    n_rows (int): Rows of the batch.
    capacity (int): Tokens a row is expected to come to; it may grow past that.
    """

    def __init__(self, model: LanguageModel, n_rows: int, capacity: int):
        self._model = model
        self._cache = SlotCache(n_rows, capacity + 1)
        self._used = np.ones(n_rows, dtype=np.int64)
        self._keys = _blank_paths((n_rows, capacity + 1), UNUSED)
        self._keys.tree[:, BIN] = PADDING

    def feed(self, feed: Feed) -> torch.Tensor:
        """RETURNS (torch.Tensor): Logits after the wanted tokens [wanted, vocabulary],
        in the network's dtype."""
        counts = np.bincount(feed.row, minlength=len(self._used))
        order = np.argsort(feed.row, kind="stable")
        first = np.cumsum(counts) - counts
        column = np.empty(len(feed.row), dtype=np.int64)
        column[order] = np.arange(len(order)) - np.repeat(first, counts)
        shape = (len(self._used), int(counts.max()))

        slots = np.full(shape, BIN, dtype=np.int64)
        slots[feed.row, column] = self._used[feed.row] + column
        self._used += counts
        self._make_room(int(self._used.max()))
        ids = np.zeros(shape, dtype=np.int64)
        ids[feed.row, column] = feed.ids
        query = _blank_paths(shape, PADDING)
        for own, key, part in zip(query, self._keys, feed.paths, strict=True):
            own[feed.row, column] = part
            key[feed.row, slots[feed.row, column]] = part

        self._cache.write_to(self._model.tensor(slots))
        used = self._cache.used
        key_paths = Paths(*(part[:, :used] for part in self._keys))
        wanted = self._model.tensor(feed.row[feed.wanted] * shape[1] + column[feed.wanted])
        with torch.inference_mode():
            return self._model.logits(ids, query, key_paths, wanted, self._cache)

    def forget(self, row: int, tree: int, label: int) -> None:
        """Drop the mention branches of a label; nobody sees them any more."""
        keys = self._keys
        gone = (keys.tree[row] == tree) & (keys.label[row] == label) & (keys.mention[row] > 0)
        keys.tree[row, gone] = UNUSED

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with some of the rows; they are counted anew, in the order given."""
        kept = np.asarray(rows, dtype=np.int64)
        self._used = self._used[kept]
        self._keys = Paths(*(part[kept] for part in self._keys))
        self._cache.keep(self._model.tensor(kept))

    def _make_room(self, slots: int) -> None:
        have = self._keys.tree.shape[1]
        if slots <= have:
            return
        more = _blank_paths((len(self._used), max(have, slots - have)), UNUSED)
        pairs = zip(self._keys, more, strict=True)
        self._keys = Paths(*(np.concatenate(pair, axis=1) for pair in pairs))


class RecomputedRows:
    """Rows of one prompt each, computed anew at each pass: for models without path masks.

    A prompt's tokens come in order and padding stands behind them, so causal models of any kind
    (ALiBi, recurrent) never see the padding.

    model (LanguageModel): The model.
    n_rows (int): Rows of the batch.
    """

    def __init__(self, model: LanguageModel, n_rows: int):
        self._model = model
        self._ids: list[list[int]] = [[] for _ in range(n_rows)]

    def feed(self, feed: Feed) -> torch.Tensor:
        """RETURNS (torch.Tensor): Logits after the wanted tokens [wanted, vocabulary],
        in the network's dtype."""
        ends = np.empty(len(feed.row), dtype=np.int64)
        for i, (row, token) in enumerate(zip(feed.row, feed.ids, strict=True)):
            self._ids[row].append(int(token))
            ends[i] = len(self._ids[row]) - 1
        rows, where = np.unique(feed.row[feed.wanted], return_inverse=True)
        sequences = [self._ids[row] for row in rows]
        with torch.inference_mode():
            return self._model.plain_logits(sequences, where, ends[feed.wanted])

    def forget(self, row: int, tree: int, label: int) -> None:
        """RAISES (ValueError): Always: a row holds one prompt, which has no branches."""
        raise ValueError(f"Row {row} holds one prompt: there is no branch of label {label} in it.")

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with some of the rows; they are counted anew, in the order given."""
        self._ids = [self._ids[row] for row in rows]


def _blank_paths(shape: tuple[int, int], tree: int) -> Paths:
    return Paths(np.full(shape, tree), *(np.full(shape, TRUNK) for _ in range(4)))


Run = tuple[int, Sequence[int] | Ints, Paths]  # row, ids and paths of neighbouring tokens


def feed_of(runs: Sequence[Run], wanted: Sequence[int] | Ints | None = None) -> Feed:
    """Join runs of tokens.

    runs (Sequence[Run]): At least one run.
    wanted (Sequence[int] | None): Indices into the joined tokens; None for the last of each run.
    RETURNS (Feed): All of them.
    """
    lengths = np.array([len(ids) for _, ids, _ in runs])
    row = np.repeat([row for row, _, _ in runs], lengths)
    ids = np.concatenate([np.asarray(ids, dtype=np.int64) for _, ids, _ in runs])
    columns = zip(*(paths for _, _, paths in runs), strict=True)
    paths = Paths(*(np.concatenate(column) for column in columns))
    if wanted is None:
        wanted = np.cumsum(lengths) - 1
    return Feed(row, ids, paths, np.asarray(wanted, dtype=np.int64))
