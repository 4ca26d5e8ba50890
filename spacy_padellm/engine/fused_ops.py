"""The operations of a llama-like layer between its matrix products, as torch operations.

`fused_triton` has the same functions as one kernel each. Both round at the same steps as
transformers' layers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..prompts.tree import Paths, visible


def path_mask(query: Paths, key: Paths, groups: int, dtype: torch.dtype) -> torch.Tensor:
    """Build the mask of the prompt tree that is added to attention scores.

    query (Paths): Paths of the queries, tensors [rows, Q].
    key (Paths): Paths of the keys, tensors [rows, K].
    groups (int): Query heads per key head.
    dtype (torch.dtype): dtype of the mask.
    RETURNS (torch.Tensor): 0 or the dtype's lowest value [rows, 1, groups * Q, K].
    """
    is_visible = visible(query, key)[:, None]
    rows, _, n_queries, n_keys = is_visible.shape
    lowest = torch.finfo(dtype).min
    zeros = torch.zeros(is_visible.shape, dtype=dtype, device=is_visible.device)
    mask = zeros.masked_fill(~is_visible, lowest)
    return mask.expand(rows, groups, n_queries, n_keys).reshape(rows, 1, -1, n_keys)


def add_norm(
    hidden: torch.Tensor, residual: torch.Tensor | None, weight: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Add hidden states to the residual stream, and compute the sum's RMS norm.

    hidden (torch.Tensor): Hidden states [tokens, size].
    residual (torch.Tensor | None): The residual stream [tokens, size]; None for zeros.
    weight (torch.Tensor): Weight of the norm [size].
    eps (float): Added to the mean square.
    RETURNS (tuple[torch.Tensor, torch.Tensor]): The normed sum, and the sum, [tokens, size] each.
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
    """Apply rotary position embeddings, and write keys and values to their slots of the KV cache.

    states (torch.Tensor): Queries, keys and values [rows, Q, (heads + 2 * key heads) * size].
    cos, sin (torch.Tensor): Rotary embeddings [rows, Q, size].
    slots (torch.Tensor): Slot of each token, int64 [rows, Q].
    keys, values (torch.Tensor): Buffers of the cache [rows, key heads, slots, size], written to.
    RETURNS (torch.Tensor): The rotated queries [rows, heads, Q, size].
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
    rotated_half = torch.cat([-second, first], -1)
    return states * cos[:, :, None] + rotated_half * sin[:, :, None]


def gated(states: torch.Tensor) -> torch.Tensor:
    """Multiply SiLU of the gate by the up projection.

    states (torch.Tensor): Gate and up projection [tokens, 2 * size].
    RETURNS (torch.Tensor): [tokens, size].
    """
    gate, up = states.chunk(2, -1)
    return F.silu(gate) * up
