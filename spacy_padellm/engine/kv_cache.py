"""A KV cache whose caller chooses the slot of each token."""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import Cache

PAD_SLOT = 0  # the slot that padding tokens write to


class SlotCache(Cache):
    """Keys and values of a batch of rows, each token in a slot that the caller chooses.

    transformers 5 does not forward `cache_position`, so `write_to` sets the slots before each pass.
    Rows may have different lengths.

    rows (int): Rows of the batch.
    capacity (int): Slots per row, including the padding slot.
    """

    is_compileable = False

    def __init__(self, rows: int, capacity: int):
        # No super().__init__(): its signature differs between transformers 4.53 and 5.
        self.layers: list[Any] = []
        self.capacity = capacity
        self.used = 0
        self._rows = rows
        self.slots = torch.empty(0, dtype=torch.long)
        self._keys: list[torch.Tensor] = []
        self._values: list[torch.Tensor] = []

    def write_to(self, slots: torch.Tensor, used: int) -> None:
        """Set the slots that the next pass writes.

        slots (torch.Tensor): int64 [rows, length]; PAD_SLOT for padding.
        used (int): Slots per row that the pass attends to, including those that it writes.
        RAISES (ValueError): More slots than the capacity.
        """
        if used > self.capacity:
            raise ValueError(f"A row needs {used} slots, and the cache has {self.capacity}.")
        self.slots, self.used = slots, used

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *_: Any,
        **__: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the keys and values of a layer; called by attention layers.

        key_states, value_states (torch.Tensor): [rows, heads, length, head size].
        layer_idx (int): Index of the layer.
        RETURNS (tuple[torch.Tensor, torch.Tensor]): Keys and values of all slots in use, [rows,
            heads, used, head size] each.
        """
        if layer_idx == len(self._keys):
            self._make(key_states, key_states.shape[1], key_states.shape[3], value_states.shape[3])
        return (
            self._write(self._keys[layer_idx], key_states),
            self._write(self._values[layer_idx], value_states),
        )

    def buffers(
        self, layer: int, like: torch.Tensor, n_heads: int, size: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the buffers of a layer that writes to them itself, instead of by `update`.

        layer (int): Index of the layer; layers are created in order.
        like (torch.Tensor): A tensor with the network's dtype and device.
        n_heads (int): Key heads.
        size (int): Size of a head.
        RETURNS (tuple[torch.Tensor, torch.Tensor]): Keys and values [rows, heads, slots, size].
        """
        if layer == len(self._keys):
            self._make(like, n_heads, size, size)
        return self._keys[layer], self._values[layer]

    def move(self, other: SlotCache, rows: torch.Tensor, used: int) -> None:
        """Copy rows to the first rows of another cache.

        other (SlotCache): A cache with at least as many rows, and at least `used` slots.
        rows (torch.Tensor): Rows to copy, int64 [kept].
        used (int): Slots per row to copy.
        """
        if not other._keys:
            for keys, values in zip(self._keys, self._values, strict=True):
                other._make(keys, keys.shape[1], keys.shape[3], values.shape[3])
        sources, targets = [*self._keys, *self._values], [*other._keys, *other._values]
        for source, target in zip(sources, targets, strict=True):
            target[: len(rows), :, :used] = source[rows, :, :used]

    @property
    def n_bytes(self) -> int:
        """RETURNS (int): Bytes of all buffers."""
        return sum(buffer.nbytes for buffer in (*self._keys, *self._values))

    def clear(self) -> None:
        """Set all buffers to zero."""
        self.used = 0
        if self._keys:
            torch._foreach_zero_([*self._keys, *self._values])

    def get_seq_length(self, layer_idx: int | None = 0) -> int:
        """RETURNS (int): Slots in use. Positions and masks always come from the caller."""
        return self.used

    def get_mask_sizes(self, *_: Any, **__: Any) -> tuple[int, int]:
        """RETURNS (tuple[int, int]): Number of keys and offset. transformers calls it only
        without a 4D mask."""
        return self.used, 0

    def get_max_cache_shape(self, *_: Any) -> int | None:
        """RETURNS (None): There is no fixed maximum: the caller moves rows to a larger cache."""
        return None

    def __len__(self) -> int:
        return len(self._keys)

    def _make(self, like: torch.Tensor, n_heads: int, key_size: int, value_size: int) -> None:
        # Zeros: NaN in a masked slot would still result in NaN (0 * NaN).
        for buffers, size in ((self._keys, key_size), (self._values, value_size)):
            buffers.append(like.new_zeros(self._rows, n_heads, self.capacity, size))

    def _write(self, buffer: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        rows = torch.arange(self._rows, device=buffer.device)[:, None]
        buffer[rows, :, self.slots] = states.transpose(1, 2)
        return buffer[:, :, : self.used]
