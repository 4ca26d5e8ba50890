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
    capacity (int): Slots a row, the padding slot among them.
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

    def write_to(self, slots: torch.Tensor, used: int) -> None:
        """Name the slots of the next pass.

        slots (torch.Tensor): int64 [rows, length]; BIN for padding.
        used (int): Slots a row that the pass attends to, those of this pass among them.
        RAISES (ValueError): More slots than there are.
        """
        if used > self.capacity:
            raise ValueError(f"A row needs {used} slots, and the cache has {self.capacity}.")
        self._slots, self.used = slots, used

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

    def move(self, other: SlotCache, rows: torch.Tensor, used: int) -> None:
        """Copy rows into another cache, to its first rows.

        other (SlotCache): A cache of as many rows or more, and of `used` slots or more.
        rows (torch.Tensor): int64 [kept].
        used (int): Slots in use.
        """
        if not other._keys:
            other._keys = [other._empty(buffer) for buffer in self._keys]
            other._values = [other._empty(buffer) for buffer in self._values]
        ours, theirs = [*self._keys, *self._values], [*other._keys, *other._values]
        for buffer, copy in zip(ours, theirs, strict=True):
            copy[: len(rows), :, :used] = buffer[rows, :, :used]

    @property
    def n_bytes(self) -> int:
        """RETURNS (int): Bytes of all buffers."""
        return sum(buffer.nbytes for buffer in (*self._keys, *self._values))

    def clear(self) -> None:
        """Forget everything."""
        self.used = 0
        if self._keys:
            torch._foreach_zero_([*self._keys, *self._values])

    def get_seq_length(self, layer_idx: int | None = 0) -> int:
        """RETURNS (int): Slots in use; positions and masks are always given by the caller."""
        return self.used

    def get_mask_sizes(self, *_: Any, **__: Any) -> tuple[int, int]:
        """RETURNS (tuple[int, int]): Number of keys and offset; asked only without a 4D mask."""
        return self.used, 0

    def get_max_cache_shape(self, *_: Any) -> int | None:
        """RETURNS (None): The caller makes a larger one where needed."""
        return None

    def __len__(self) -> int:
        return len(self._keys)

    def _empty(self, states: torch.Tensor) -> torch.Tensor:
        # Zeros: NaN in a slot that nobody sees would still give NaN (0 * NaN).
        heads, size = states.shape[1], states.shape[3]
        return states.new_zeros(self._rows, heads, self.capacity, size)

    def _write(self, buffer: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        rows = torch.arange(self._rows, device=buffer.device)[:, None]
        buffer[rows, :, self._slots] = states.transpose(1, 2)
        return buffer[:, :, : self.used]
