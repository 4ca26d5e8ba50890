"""Grouped-query attention without a copy of keys and values for each query head."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

NAME = "padellm_packed"  # in transformers' registry of attention functions


def use_packed_attention(network: Any) -> None:
    """Replace sdpa by `packed_attention` in a network with grouped-query attention.

    transformers repeats keys and values for each query head that shares them, and copies views of a
    larger buffer. With a KV cache these copies are most of the memory traffic of a decode step.

    network (transformers.PreTrainedModel): The base, changed in place. A network whose layers do
        not use transformers' registry of attention functions is not changed.
    """
    config = getattr(network, "config", None)
    if not getattr(network, "_supports_attention_backend", False) or config is None:
        return
    if config._attn_implementation == "sdpa" and n_groups(config) > 1:
        _register()
        config._attn_implementation = NAME


def n_groups(config: Any) -> int:
    """RETURNS (int): Query heads per key head; 1 if the configuration has no number of key
    heads."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    n_heads = getattr(text, "num_attention_heads", 1)
    return n_heads // (getattr(text, "num_key_value_heads", None) or n_heads)


def packed(mask: torch.Tensor, groups: int) -> torch.Tensor:
    """Repeat a mask for the query heads that share a key head.

    mask (torch.Tensor): [rows, 1, Q, K].
    groups (int): Query heads per key head.
    RETURNS (torch.Tensor): [rows, 1, groups * Q, K].
    """
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
    """Compute attention for transformers' layers (see `transformers.AttentionInterface`).

    module (torch.nn.Module): The attention layer.
    query (torch.Tensor): [rows, heads, Q, size].
    key, value (torch.Tensor): [rows, key heads, K, size].
    attention_mask (torch.Tensor | None): [rows, 1, Q, K], or packed already; None as for sdpa.
    dropout (float): Probability of dropout.
    scaling (float | None): Factor of the scores; None for sdpa's default.
    RETURNS (tuple[torch.Tensor, None]): Attention output [rows, Q, heads, size], and None instead
        of the attention weights.
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
    output = F.scaled_dot_product_attention(
        query.reshape(rows, key.shape[1], groups * n_queries, size),
        key,
        value,
        attn_mask=attention_mask[..., : key.shape[2]],
        dropout_p=dropout,
        scale=scaling,
    )
    output = output.reshape(rows, n_heads, n_queries, value.shape[3])
    return output.transpose(1, 2).contiguous(), None


def _register() -> None:
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
