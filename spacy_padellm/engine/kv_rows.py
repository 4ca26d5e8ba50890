"""Rows behind a KV cache on the device: keys and values, and the path of the token in each slot."""

from __future__ import annotations

from typing import Protocol

import torch

from ..prompts.tree import PADDING, UNUSED, Paths
from .kv_cache import PAD_SLOT, SlotCache
from .partial_logits import PartialRequest
from .step import StepOutput

TREE = 0  # index of the tree number among the parts of Paths
N_INPUTS = 7  # arrays of a pass: token ids, the five parts of Paths, slots


class Forward(Protocol):
    """One pass of a network under the mask rule, behind a KV cache (`LanguageModel.forward`)."""

    def __call__(
        self,
        ids: torch.Tensor,
        query: Paths,
        key: Paths,
        logits_indices: torch.Tensor,
        cache: SlotCache,
        partial: PartialRequest | None = None,
    ) -> StepOutput:
        """RETURNS (StepOutput): Logits, and partial logits where they were requested."""


class KVRows:
    """The KV cache of a batch of rows, with the paths of the tokens in its slots.

    device (torch.device): The network's device.
    n_rows (int): Rows of the batch.
    capacity (int): Slots per row, the padding slot among them.

    cache (SlotCache): Keys and values.
    paths (torch.Tensor): int64 [5, rows, capacity]: the parts of Paths of each slot.
    """

    def __init__(self, device: torch.device, n_rows: int, capacity: int):
        self.cache = SlotCache(n_rows, capacity)
        self.paths = torch.zeros(5, n_rows, capacity, dtype=torch.long, device=device)
        self._reset_paths()

    @property
    def device(self) -> torch.device:
        """RETURNS (torch.device): The network's device."""
        return self.paths.device

    @property
    def shape(self) -> tuple[int, int]:
        """RETURNS (tuple[int, int]): Number of rows, and of slots per row."""
        return self.paths.shape[1], self.paths.shape[2]

    @property
    def n_bytes(self) -> int:
        """RETURNS (int): Bytes of keys, values and paths; keys and values are allocated by the
        first pass."""
        return self.cache.n_bytes + self.paths.nbytes

    def clear(self) -> None:
        """Empty all slots."""
        self.cache.clear()
        self._reset_paths()

    def run(
        self,
        forward: Forward,
        inputs: torch.Tensor,
        logits_indices: torch.Tensor,
        used: int,
        partial: PartialRequest | None = None,
    ) -> StepOutput:
        """Run one pass: write its tokens to their slots and compute logits.

        forward (Forward): The network's forward pass.
        inputs (torch.Tensor): int64 [7, rows, length]: token ids, the parts of Paths, slots.
            Padding has tree PADDING and slot PAD_SLOT.
        logits_indices (torch.Tensor): int64 [n]: indices into the flattened [rows * length].
        used (int): Slots per row to attend to, those of this pass among them.
        partial (PartialRequest | None): Partial logits to compute.
        RETURNS (StepOutput): Logits [n, vocabulary] and partial logits.
        """
        slots = inputs[6]
        self.cache.write_to(slots, used)
        self.paths.scatter_(2, slots.expand(5, -1, -1), inputs[1:6])
        query, key = Paths(*inputs[1:6]), Paths(*self.paths[:, :, :used])
        return forward(inputs[0], query, key, logits_indices, self.cache, partial)

    def mask_slots(self, row: torch.Tensor, slot: torch.Tensor) -> None:
        """Exclude slots from attention.

        row, slot (torch.Tensor): int64 [n].
        """
        self.paths[TREE, row, slot] = UNUSED

    def move(self, other: KVRows, rows: torch.Tensor, used: int) -> None:
        """Copy rows to the first rows of other, empty ones.

        other (KVRows): As many rows or more, and `used` slots or more.
        rows (torch.Tensor): int64 [kept].
        used (int): Slots in use.
        """
        other.paths[:, : len(rows), :used] = self.paths[:, rows, :used]
        self.cache.move(other.cache, rows, used)

    def _reset_paths(self) -> None:
        self.paths.zero_()
        self.paths[TREE] = UNUSED
        self.paths[TREE, :, PAD_SLOT] = PADDING
