"""Attention with fewer heads of keys than of queries, and no copy of the keys for each."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

NAME = "padellm_packed"  # in transformers' registry of attention functions


def use_packed_attention(network: Any) -> None:
    """Let a network's layers attend through `packed_attention`, where they now do through sdpa.

    transformers repeats keys and values for each head that shares them and copies what is a part of
    a larger buffer; behind a KV cache that is most of what a decode step moves.

    network (transformers.PreTrainedModel): The base; left as it is where its layers don't look
        their attention function up.
    """
    config = getattr(network, "config", None)
    if not getattr(network, "_supports_attention_backend", False) or config is None:
        return
    if config._attn_implementation == "sdpa" and n_groups(config) > 1:
        _register()
        config._attn_implementation = NAME


def n_groups(config: Any) -> int:
    """RETURNS (int): Heads of queries for each head of keys; 1 where the configuration names no
    heads of keys."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    n_heads = getattr(text, "num_attention_heads", 1)
    return n_heads // (getattr(text, "num_key_value_heads", None) or n_heads)


def packed(mask: torch.Tensor, groups: int) -> torch.Tensor:
    """RETURNS (torch.Tensor): A mask [rows, 1, Q, K] for queries of `groups` heads behind one
    another [rows, 1, groups * Q, K]."""
    rows, _, n_queries, n_keys = mask.shape
    return mask.expand(rows, groups, n_queries, n_keys).reshape(rows, 1, -1, n_keys)


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Called by transformers' layers (see `transformers.AttentionInterface`).

    query (torch.Tensor): [rows, heads, Q, size].
    key, value (torch.Tensor): [rows, heads of keys, K, size].
    attention_mask (torch.Tensor | None): [rows, 1, Q, K], or packed already; None as for sdpa.
    RETURNS (tuple[torch.Tensor, None]): [rows, Q, heads, size], and no weights.
    """
    if attention_mask is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(
            module, query, key, value, None, dropout=dropout, scaling=scaling, **options
        )
    rows, n_heads, n_queries, size = query.shape
    groups = n_heads // key.shape[1]
    if attention_mask.shape[2] != groups * n_queries:
        attention_mask = packed(attention_mask, groups)
    found = F.scaled_dot_product_attention(
        query.reshape(rows, key.shape[1], groups * n_queries, size),
        key,
        value,
        attn_mask=attention_mask[..., : key.shape[2]],
        dropout_p=dropout,
        scale=scaling,
    )
    found = found.reshape(rows, n_heads, n_queries, value.shape[3])
    return found.transpose(1, 2).contiguous(), None


def _register() -> None:
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
