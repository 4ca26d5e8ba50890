"""The attention implementation of a causal LM, and the tree mask in the form that it takes."""

from __future__ import annotations

from typing import Any

import torch

from ..prompts.tree import Paths, visible
from . import packed_attention

# Models whose attention depends on more than a mask and position ids: ALiBi, recurrence, windows
# or chunks built inside the model. A short probe does not reach past a window, hence a list.
REPLICATED_ONLY = frozenset(
    {
        *("bloom", "mpt"),  # ALiBi
        *("gpt_neo", "llama4", "llama4_text"),  # local attention by index in the row
        *("mamba", "mamba2", "falcon_mamba", "rwkv"),  # recurrence
        *("jamba", "bamba", "zamba", "zamba2", "recurrent_gemma", "qwen3_next", "nemotron_h"),
        *("granitemoehybrid", "lfm2"),
    }
)
# Models whose attention has an operation that sdpa leaves out, or that do not support sdpa.
EAGER_ONLY = frozenset(["gemma2", "gptj", "codegen"])


def attention_implementation(config: Any) -> str | None:
    """Select the value of transformers' `attn_implementation`.

    config (transformers.PretrainedConfig): The model's configuration.
    RETURNS (str | None): "eager" for models that are exact only with it; None for the default of
        transformers: sdpa, or eager for models without sdpa (bloom, mpt, mamba).
    """
    return "eager" if config.model_type in EAGER_ONLY else None


def supports_tree_mask(config: Any) -> bool:
    """RETURNS (bool): False for models that need one row per prompt, by type or setting."""
    chunked = getattr(config, "attention_chunk_size", None) is not None
    alibi = bool(getattr(config, "alibi", False))
    return config.model_type not in REPLICATED_ONLY and not chunked and not alibi


def attention_mask(config: Any, query: Paths, key: Paths, dtype: torch.dtype) -> Any:
    """Build the mask of the prompt tree, as `forward(attention_mask=…)` takes it.

    A 4D mask bypasses transformers' own sliding windows, so they are part of it, as a
    distance in positions (slots of one path need not be adjacent).

    config (transformers.PretrainedConfig): The model's configuration.
    query (Paths): Paths of the queries, tensors [rows, Q].
    key (Paths): Paths of the keys, tensors [rows, K].
    dtype (torch.dtype): The network's dtype, for eager attention, which adds the mask.
    RETURNS (torch.Tensor | dict[str, torch.Tensor]): [rows, 1, Q, K] of booleans for sdpa, packed
        for packed attention, else of 0 and the dtype's lowest value. One mask per type of layer
        if types differ.
    """
    full = visible(query, key)[:, None]
    window = getattr(config, "sliding_window", None)
    types = set(getattr(config, "layer_types", None) or [])
    if getattr(config, "use_sliding_window", True) is False:
        window = None
    if not window or types == {"full_attention"}:
        return _in_form_of(config, full, dtype)
    near = (query.position[:, :, None] - key.position[:, None]) < window
    sliding = _in_form_of(config, full & near[:, None], dtype)
    if len(types) < 2:
        return sliding
    return {
        "full_attention": _in_form_of(config, full, dtype),
        "sliding_attention": sliding,
    }


def _in_form_of(config: Any, mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    if config._attn_implementation == packed_attention.NAME:
        return packed_attention.packed(mask, packed_attention.n_groups(config))
    if config._attn_implementation == "sdpa":
        return mask
    lowest = torch.finfo(dtype).min
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, lowest)
