"""What a model keeps of rows of prompts between passes: keys, values, and who may see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..prompts.tree import PADDING, UNUSED, Paths
from .kv_cache import PAD_SLOT, SlotCache

if TYPE_CHECKING:
    from .language_model import LanguageModel
    from .partial_logits import Glance

TREE = 0  # of the parts of Paths


class RowMemory:
    """The KV cache of a batch of rows, and the paths of the tokens in its slots.

    model (LanguageModel): The model, whose attention takes path masks.
    n_rows (int): Rows of the batch.
    capacity (int): Slots a row, the padding slot among them; `grow` makes more.

    cache (SlotCache): Keys and values.
    paths (torch.Tensor): int64 [5, rows, capacity]: the parts of Paths of each slot.
    """

    def __init__(self, model: LanguageModel, n_rows: int, capacity: int):
        self.cache = SlotCache(n_rows, capacity)
        self._model = model
        self.paths = torch.zeros(5, n_rows, capacity, dtype=torch.long, device=model.device)
        self._forget(self.paths)

    @property
    def shape(self) -> tuple[int, int]:
        """RETURNS (tuple[int, int]): Rows and slots."""
        return self.paths.shape[1], self.paths.shape[2]

    @property
    def n_bytes(self) -> int:
        """RETURNS (int): Bytes of keys, values and paths; keys and values come with the first
        pass."""
        return self.cache.n_bytes + self.paths.nbytes

    def clear(self) -> None:
        """Forget everything."""
        self.cache.clear()
        self._forget(self.paths)

    def run(
        self, tokens: torch.Tensor, wanted: torch.Tensor, used: int, glance: Glance | None = None
    ) -> torch.Tensor:
        """One pass: write tokens into their slots, and compute the wanted logits.

        tokens (torch.Tensor): int64 [7, rows, length]: ids, the parts of Paths, slots. Padding has
            tree PADDING and slot PAD_SLOT.
        wanted (torch.Tensor): int64 [n]: places in the flattened [rows * length].
        used (int): Slots a row to attend to, those of this pass among them.
        glance (Glance | None): What else is wanted.
        RETURNS (torch.Tensor): [n, vocabulary], in the network's dtype.
        """
        slots = tokens[6]
        self.cache.write_to(slots, used)
        self.paths.scatter_(2, slots.expand(5, -1, -1), tokens[1:6])
        query, key = Paths(*tokens[1:6]), Paths(*self.paths[:, :, :used])
        return self._model.path_logits(tokens[0], query, key, wanted, self.cache, glance)

    def hide(self, row: torch.Tensor, slot: torch.Tensor) -> None:
        """Let nobody see what is in some slots.

        row, slot (torch.Tensor): int64 [n].
        """
        self.paths[TREE, row, slot] = UNUSED

    def move(self, other: RowMemory, rows: torch.Tensor, used: int) -> None:
        """Copy rows into another memory, to its first rows.

        other (RowMemory): An empty memory of as many rows or more, and of `used` slots or more.
        rows (torch.Tensor): int64 [kept].
        used (int): Slots in use.
        """
        other.paths[:, : len(rows), :used] = self.paths[:, rows, :used]
        self.cache.move(other.cache, rows, used)

    @staticmethod
    def _forget(paths: torch.Tensor) -> None:
        paths.zero_()
        paths[TREE] = UNUSED
        paths[TREE, :, PAD_SLOT] = PADDING
