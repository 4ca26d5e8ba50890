"""The operations of `fused_ops` as one Triton kernel each, for a GPU."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ..prompts.tree import COUNT, TRUNK, Paths

QUERIES, KEYS = 32, 64  # size of a block of the mask, one per program
GATED = 1024  # values per program


def path_mask(query: Paths, key: Paths, groups: int, dtype: torch.dtype) -> torch.Tensor:
    """See `fused_ops.path_mask`."""
    rows, n_queries = query.tree.shape
    n_keys = key.tree.shape[1]
    mask = torch.empty(rows, 1, groups * n_queries, n_keys, dtype=dtype, device=key.tree.device)
    looks = (query.tree, query.label, query.mention, query.horizon)
    seen = (key.tree, key.label, key.mention, key.position)
    grid = (rows, triton.cdiv(n_queries, QUERIES), triton.cdiv(n_keys, KEYS))
    _path_mask[grid](
        *looks,
        *seen,
        mask,
        query.tree.stride(0),
        key.tree.stride(0),
        n_queries,
        n_keys,
        torch.finfo(dtype).min,
        groups,
        TRUNK,
        COUNT,
        QUERIES,
        KEYS,
    )
    return mask


@triton.jit
def _path_mask(
    q_tree,
    q_label,
    q_mention,
    q_horizon,
    k_tree,
    k_label,
    k_mention,
    k_position,
    mask,
    q_stride,
    k_stride,
    n_queries,
    n_keys,
    least,
    groups: tl.constexpr,
    trunk: tl.constexpr,
    count: tl.constexpr,
    block_q: tl.constexpr,
    block_k: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    q = tl.program_id(1) * block_q + tl.arange(0, block_q)
    k = tl.program_id(2) * block_k + tl.arange(0, block_k)
    in_q, in_k = q < n_queries, k < n_keys
    at_q, at_k = row * q_stride + q, row * k_stride + k
    label = tl.load(k_label + at_k, mask=in_k)[None, :]
    mention = tl.load(k_mention + at_k, mask=in_k)[None, :]
    same_label = label == tl.load(q_label + at_q, mask=in_q)[:, None]
    same_mention = mention == tl.load(q_mention + at_q, mask=in_q)[:, None]
    on_path = (label == trunk) | (same_label & ((mention == count) | same_mention))
    tree = tl.load(k_tree + at_k, mask=in_k)[None, :]
    same_tree = tree == tl.load(q_tree + at_q, mask=in_q)[:, None]
    position = tl.load(k_position + at_k, mask=in_k)[None, :]
    near = position <= tl.load(q_horizon + at_q, mask=in_q)[:, None]
    value = tl.where(same_tree & near & on_path, 0.0, least)
    inside = in_q[:, None] & in_k[None, :]
    place = mask + (row * groups * n_queries + q[:, None]) * n_keys + k[None, :]
    for group in tl.static_range(groups):
        tl.store(place + group * n_queries * n_keys, value, mask=inside)


def add_norm(
    hidden: torch.Tensor, residual: torch.Tensor | None, weight: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """See `fused_ops.add_norm`."""
    n_tokens, size = hidden.shape
    normed = torch.empty_like(hidden)
    total = hidden if residual is None else torch.empty_like(hidden)
    block = triton.next_power_of_2(size)
    _add_norm[(n_tokens,)](
        hidden,
        hidden if residual is None else residual,
        weight,
        total,
        normed,
        size,
        eps,
        residual is not None,
        block,
        num_warps=max(1, min(16, block // 256)),
    )
    return normed, total


@triton.jit
def _add_norm(
    hidden, residual, weight, total, normed, size, eps, adds: tl.constexpr, block: tl.constexpr
):
    column = tl.arange(0, block)
    inside = column < size
    at = tl.program_id(0).to(tl.int64) * size + column
    here = tl.load(hidden + at, mask=inside, other=0)
    if adds:
        here = here.to(tl.float32) + tl.load(residual + at, mask=inside, other=0).to(tl.float32)
        here = here.to(normed.dtype.element_ty)
        tl.store(total + at, here, mask=inside)
    wide = here.to(tl.float32)
    wide *= tl.rsqrt(tl.sum(wide * wide, 0) / size + eps)
    scaled = wide.to(normed.dtype.element_ty).to(tl.float32)
    scaled *= tl.load(weight + column, mask=inside, other=0).to(tl.float32)
    tl.store(normed + at, scaled.to(normed.dtype.element_ty), mask=inside)


def rotate_and_store(
    states: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    slots: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
) -> torch.Tensor:
    """See `fused_ops.rotate_and_store`."""
    rows, length, width = states.shape
    n_key_heads, size = keys.shape[1], keys.shape[3]
    n_heads = width // size - 2 * n_key_heads
    rotated = states.new_empty(rows, n_heads, length, size)
    _rotate_and_store[(rows * length, 3)](
        states,
        cos,
        sin,
        slots,
        rotated,
        keys,
        values,
        length,
        slots.stride(0),
        keys.stride(0),
        keys.stride(1),
        keys.stride(2),
        n_heads,
        n_key_heads,
        size // 2,
        triton.next_power_of_2(n_heads),
        triton.next_power_of_2(size // 2),
    )
    return rotated


@triton.jit
def _rotate_and_store(
    states,
    cos,
    sin,
    slots,
    rotated,
    keys,
    values,
    length,
    slot_stride,
    row_stride,
    head_stride,
    place_stride,
    n_heads: tl.constexpr,
    n_key_heads: tl.constexpr,
    half: tl.constexpr,
    block_heads: tl.constexpr,
    block_half: tl.constexpr,
):
    token = tl.program_id(0).to(tl.int64)
    row, column = token // length, token % length
    head = tl.arange(0, block_heads)[:, None]
    at = tl.arange(0, block_half)[None, :]
    kind = tl.program_id(1)
    slot = tl.load(slots + row * slot_stride + column)
    source = states + (token * (n_heads + 2 * n_key_heads) + head) * (2 * half) + at
    place = row * row_stride + head * head_stride + slot * place_stride + at
    if kind == 0:
        inside = (head < n_heads) & (at < half)
        target = rotated + ((row * n_heads + head) * length + column) * (2 * half) + at
    elif kind == 1:
        inside = (head < n_key_heads) & (at < half)
        source += n_heads * 2 * half
        target = keys + place
    else:
        inside = (head < n_key_heads) & (at < half)
        source += (n_heads + n_key_heads) * 2 * half
        target = values + place
    first = tl.load(source, mask=inside)
    second = tl.load(source + half, mask=inside)
    if kind < 2:
        # Round the products and their sum, as separate operations do.
        dtype = first.dtype
        turn = cos + token * (2 * half) + at
        lift = sin + token * (2 * half) + at
        in_half = at < half
        x, y = first.to(tl.float32), second.to(tl.float32)
        cos1 = tl.load(turn, mask=in_half).to(tl.float32)
        cos2 = tl.load(turn + half, mask=in_half).to(tl.float32)
        sin1 = tl.load(lift, mask=in_half).to(tl.float32)
        sin2 = tl.load(lift + half, mask=in_half).to(tl.float32)
        first = (x * cos1).to(dtype).to(tl.float32) - (y * sin1).to(dtype).to(tl.float32)
        second = (y * cos2).to(dtype).to(tl.float32) + (x * sin2).to(dtype).to(tl.float32)
        first, second = first.to(dtype), second.to(dtype)
    tl.store(target, first, mask=inside)
    tl.store(target + half, second, mask=inside)


def gated(states: torch.Tensor) -> torch.Tensor:
    """See `fused_ops.gated`."""
    n_tokens, width = states.shape
    size = width // 2
    product = states.new_empty(n_tokens, size)
    _gated[(n_tokens, triton.cdiv(size, GATED))](states, product, size, GATED)
    return product


@triton.jit
def _gated(states, product, size, block: tl.constexpr):
    token = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * block + tl.arange(0, block)
    inside = column < size
    gate = states + token * 2 * size + column
    wide = tl.load(gate, mask=inside).to(tl.float32)
    wide = (wide / (1 + tl.exp(-wide))).to(product.dtype.element_ty).to(tl.float32)
    wide *= tl.load(gate + size, mask=inside).to(tl.float32)
    tl.store(product + token * size + column, wide.to(product.dtype.element_ty), mask=inside)
