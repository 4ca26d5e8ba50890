"""Rows of prompts that grow token by token: through a KV cache, or computed anew each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from ..prompts.tree import PADDING, Paths
from ..tokenization.arrays import Ints
from .kv_cache import PAD_SLOT
from .kv_rows import RowMemory
from .partial_logits import Glance

if TYPE_CHECKING:
    from .language_model import LanguageModel


@dataclass
class Feed:
    """Tokens for one forward pass, each array of shape [n]; ancestors before descendants.

    row (Ints): Row of each token.
    ids (Ints): Token ids.
    paths (Paths): Paths of each token.
    wanted (Ints): Indices of the tokens whose next-token logits are wanted.
    glances (Ints | None): Indices of tokens of whose next-token logits those of `columns` alone are
        wanted, where the rows glance.
    columns (Ints | None): Tokens of the vocabulary.
    """

    row: Ints
    ids: Ints
    paths: Paths
    wanted: Ints
    glances: Ints | None = None
    columns: Ints | None = None


class PromptRows(Protocol):
    """Rows of prompts that a decoder feeds.

    total (torch.Tensor | None): Natural log of the sum of the exponentials of each row of the
        logits that came last, float32 [wanted], where the pass has found it.
    glanced (torch.Tensor | None): What came last of them [glances, columns].
    """

    total: torch.Tensor | None
    glanced: torch.Tensor | None

    @property
    def glances(self) -> bool:
        """RETURNS (bool): Whether a feed may have glances."""

    def feed(self, feed: Feed) -> torch.Tensor:
        """RETURNS (torch.Tensor): Logits after the wanted tokens [wanted, vocabulary],
        in the network's dtype."""

    def hide(self, tokens: Ints) -> None:
        """Let nobody see some of the tokens that were fed last.

        tokens (Ints): Their indices in that feed.
        """

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with some of the rows; they are counted anew, in the order given."""


class CachedRows:
    """Rows behind a KV cache; a row may hold several trees.

    model (LanguageModel): The model, whose attention takes path masks.
    n_rows (int): Rows of the batch.
    capacity (int): Tokens a row is expected to come to; it may grow past that.
    graphs (bool): Whether passes are captured as CUDA graphs and replayed.
    """

    def __init__(self, model: LanguageModel, n_rows: int, capacity: int, graphs: bool = False):
        self.total: torch.Tensor | None = None
        self.glanced: torch.Tensor | None = None
        self._model = model
        if graphs or model.fusing:  # what reads the weights where they lie
            model.refresh_fused()
        self._graphs = model.step_graphs if graphs else None
        self._used = np.ones(n_rows, dtype=np.int64)
        self._memory = self._empty_memory(n_rows, capacity + 1)
        self._fed: tuple[Ints, Ints] = (self._used[:0], self._used[:0])

    @property
    def glances(self) -> bool:
        """RETURNS (bool): Whether a feed may have glances."""
        return self._model.glances

    def feed(self, feed: Feed) -> torch.Tensor:
        """RETURNS (torch.Tensor): Logits after the wanted tokens [wanted, vocabulary],
        in the network's dtype; with graphs the next pass may write there again."""
        counts = np.bincount(feed.row, minlength=len(self._used))
        order = np.argsort(feed.row, kind="stable")
        first = np.cumsum(counts) - counts
        column = np.empty(len(feed.row), dtype=np.int64)
        column[order] = np.arange(len(order)) - np.repeat(first, counts)
        slots = self._used[feed.row] + column
        tokens = np.zeros((7, len(self._used), int(counts.max())), dtype=np.int64)
        tokens[1], tokens[6] = PADDING, PAD_SLOT
        for part, values in zip(tokens, (feed.ids, *feed.paths, slots), strict=True):
            part[feed.row, column] = values
        wanted = feed.row[feed.wanted] * tokens.shape[2] + column[feed.wanted]
        self._fed = feed.row, slots
        self._used += counts
        used = int(self._used.max())
        with torch.inference_mode():
            if used > self._memory.shape[1]:
                self._move(np.arange(len(self._used)), 2 * self._memory.shape[1])
            glances = None
            if feed.glances is not None and feed.columns is not None:
                places = feed.row[feed.glances] * tokens.shape[2] + column[feed.glances]
                glances = places, feed.columns
            if self._graphs is not None:
                done = self._graphs.run(self._memory, tokens, wanted, used, glances)
                self.total, self.glanced = done.total, done.glanced
                return done.logits
            glance = Glance(*map(self._model.tensor, glances)) if glances else None
            given = self._model.tensor(tokens), self._model.tensor(wanted)
            logits = self._memory.run(*given, used, glance)
            self.glanced = None if glance is None else glance.found
            return logits

    def hide(self, tokens: Ints) -> None:
        """Let nobody see some of the tokens that were fed last.

        tokens (Ints): Their indices in that feed.
        """
        if len(tokens):
            row, slot = self._model.tensor(np.stack([part[tokens] for part in self._fed]))
            with torch.inference_mode():
                self._memory.hide(row, slot)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with some of the rows; they are counted anew, in the order given."""
        with torch.inference_mode():
            self._move(np.asarray(rows, dtype=np.int64), self._memory.shape[1])
        self._used = self._used[np.asarray(rows, dtype=np.int64)]

    def _move(self, rows: Ints, capacity: int) -> None:
        memory, used = self._memory, min(int(self._used.max()), self._memory.shape[1])
        if self._graphs is not None:
            # A memory of the same shape is this very one: what goes along is put aside first.
            aside = RowMemory(self._model, len(rows), used)
            memory.move(aside, self._model.tensor(rows), used)
            memory, rows = aside, np.arange(len(rows))
        self._memory = self._empty_memory(len(rows), max(capacity, int(self._used.max())))
        memory.move(self._memory, self._model.tensor(rows), used)

    def _empty_memory(self, n_rows: int, capacity: int) -> RowMemory:
        with torch.inference_mode():
            if self._graphs is not None:
                return self._graphs.memory(n_rows, capacity)
            return RowMemory(self._model, n_rows, capacity)


class RecomputedRows:
    """Rows of one prompt each, computed anew at each pass: for models without path masks.

    A prompt's tokens come in order and padding stands behind them, so causal models of any kind
    (ALiBi, recurrent) never see the padding.

    model (LanguageModel): The model.
    n_rows (int): Rows of the batch.
    """

    glances = False

    def __init__(self, model: LanguageModel, n_rows: int):
        self.total: torch.Tensor | None = None
        self.glanced: torch.Tensor | None = None
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

    def hide(self, tokens: Ints) -> None:
        """RAISES (ValueError): Tokens to hide: a row holds one prompt, all of which is seen."""
        if len(tokens):
            raise ValueError(f"{len(tokens)} tokens to hide, but each row holds one prompt.")

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with some of the rows; they are counted anew, in the order given."""
        self._ids = [self._ids[row] for row in rows]


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
