"""What a llama-like layer does between its matrix products, in torch's own operations.

`fused_triton` has the same functions as one kernel each. They round where transformers' layers
round, so that both give what those give.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..prompts.tree import Paths, visible


def path_mask(query: Paths, key: Paths, groups: int, dtype: torch.dtype) -> torch.Tensor:
    """The mask rule as something to be added to attention's scores.

    query (Paths): Tensors of shape [rows, Q].
    key (Paths): Tensors of shape [rows, K].
    groups (int): Heads of queries for each head of keys.
    dtype (torch.dtype): Of the mask.
    RETURNS (torch.Tensor): 0 or the dtype's least value [rows, 1, groups * Q, K].
    """
    seen = visible(query, key)[:, None]
    rows, _, n_queries, n_keys = seen.shape
    least = torch.finfo(dtype).min
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, least)
    return mask.expand(rows, groups, n_queries, n_keys).reshape(rows, 1, -1, n_keys)


def add_norm(
    hidden: torch.Tensor, residual: torch.Tensor | None, weight: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The sum of two streams, and its root mean square norm.

    hidden (torch.Tensor): [tokens, size].
    residual (torch.Tensor | None): The same shape; None for zeros.
    weight (torch.Tensor): [size].
    eps (float): Added to the mean square.
    RETURNS (tuple[torch.Tensor, torch.Tensor]): The norm, and the sum [tokens, size].
    """
    total = hidden if residual is None else residual + hidden
    wide = total.float()
    wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
    return weight * wide.to(total.dtype), total


def rotate_and_store(
    states: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    slots: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
) -> torch.Tensor:
    """Rotary positions for queries and keys; keys and values into their slots of the cache.

    states (torch.Tensor): Queries, keys and values [rows, Q, (heads + 2 * heads of keys) * size].
    cos, sin (torch.Tensor): [rows, Q, size].
    slots (torch.Tensor): int64 [rows, Q].
    keys, values (torch.Tensor): The cache's [rows, heads of keys, slots, size], written to.
    RETURNS (torch.Tensor): The queries [rows, heads, Q, size].
    """
    n_key_heads, size = keys.shape[1], keys.shape[3]
    rows = torch.arange(len(keys), device=keys.device)[:, None]
    states = states.unflatten(2, (-1, size))
    query, key, value = states.tensor_split([-2 * n_key_heads, -n_key_heads], 2)
    keys[rows, :, slots] = _rotated(key, cos, sin)
    values[rows, :, slots] = value
    return _rotated(query, cos, sin).transpose(1, 2).contiguous()


def _rotated(states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    first, second = states.chunk(2, -1)
    turned = torch.cat([-second, first], -1)
    return states * cos[:, :, None] + turned * sin[:, :, None]


def gated(states: torch.Tensor) -> torch.Tensor:
    """RETURNS (torch.Tensor): SiLU of the first half of each row, times the second
    [tokens, size]."""
    gate, up = states.chunk(2, -1)
    return F.silu(gate) * up
