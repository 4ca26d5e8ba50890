"""A KV cache with write slots of its own."""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import Cache

BIN = 0  # the slot that padding tokens write to


class SlotCache(Cache):
    """Keys and values of a batch of rows, each token in a slot that the caller names.

    transformers 5 does not forward `cache_position`, so the cache is told before each pass which
    slots the pass writes; ragged rows then need no common length.

    rows (int): Rows of the batch.
    capacity (int): Slots a row, the padding slot among them; grows on demand.
    """

    is_compileable = False

    def __init__(self, rows: int, capacity: int):
        # No super().__init__(): its signature differs between transformers 4.53 and 5.
        self.layers: list[Any] = []
        self.capacity = capacity
        self.used = 0
        self._rows = rows
        self._slots = torch.empty(0, dtype=torch.long)
        self._keys: list[torch.Tensor] = []
        self._values: list[torch.Tensor] = []

    def write_to(self, slots: torch.Tensor) -> None:
        """Name the slots of the next pass.

        slots (torch.Tensor): int64 [rows, length]; BIN for padding.
        """
        self._slots = slots
        self.used = max(self.used, int(slots.max()) + 1)
        if self.used > self.capacity:
            self.capacity = max(2 * self.capacity, self.used)
            self._keys = [self._grown(buffer) for buffer in self._keys]
            self._values = [self._grown(buffer) for buffer in self._values]

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *_: Any,
        **__: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Called by the attention layers: write this pass, give all slots in use.

        key_states, value_states (torch.Tensor): [rows, heads, length, head size].
        layer_idx (int): The layer.
        RETURNS (tuple[torch.Tensor, torch.Tensor]): [rows, heads, used, head size] each.
        """
        if layer_idx == len(self._keys):
            self._keys.append(self._empty(key_states))
            self._values.append(self._empty(value_states))
        return (
            self._write(self._keys[layer_idx], key_states),
            self._write(self._values[layer_idx], value_states),
        )

    def keep(self, rows: torch.Tensor) -> None:
        """Drop the other rows.

        rows (torch.Tensor): int64 [kept]: the rows to keep, in their new order.
        """
        self._rows = len(rows)
        self._keys = [buffer[rows] for buffer in self._keys]
        self._values = [buffer[rows] for buffer in self._values]

    def get_seq_length(self, layer_idx: int | None = 0) -> int:
        """RETURNS (int): Slots in use; positions and masks are always given by the caller."""
        return self.used

    def get_mask_sizes(self, *_: Any, **__: Any) -> tuple[int, int]:
        """RETURNS (tuple[int, int]): Number of keys and offset; asked only without a 4D mask."""
        return self.used, 0

    def get_max_cache_shape(self, *_: Any) -> int | None:
        """RETURNS (None): The cache grows."""
        return None

    def __len__(self) -> int:
        return len(self._keys)

    def _empty(self, states: torch.Tensor) -> torch.Tensor:
        # Zeros: NaN in a slot that nobody sees would still give NaN (0 * NaN).
        heads, size = states.shape[1], states.shape[3]
        return states.new_zeros(self._rows, heads, self.capacity, size)

    def _grown(self, buffer: torch.Tensor) -> torch.Tensor:
        rows, heads, slots, size = buffer.shape
        grown = buffer.new_zeros(rows, heads, self.capacity, size)
        grown[:, :, :slots] = buffer
        return grown

    def _write(self, buffer: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        rows = torch.arange(self._rows, device=buffer.device)[:, None]
        buffer[rows, :, self._slots] = states.transpose(1, 2)
        return buffer[:, :, : self.used]
