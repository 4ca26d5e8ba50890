"""Which attention a causal LM uses, and the path mask in the form that attention wants."""

from __future__ import annotations

from typing import Any

import torch

from ..prompts.tree import Paths, visible
from . import packed_attention

# Models whose attention can't be told by a mask and position ids alone: ALiBi, recurrence, windows
# or chunks built inside the model. A short probe can't see a window, so these go by name.
REPLICATED_ONLY = frozenset(
    {
        *("bloom", "mpt"),  # ALiBi
        *("gpt_neo", "llama4", "llama4_text"),  # local attention by place in the row
        *("mamba", "mamba2", "falcon_mamba", "rwkv"),  # recurrence
        *("jamba", "bamba", "zamba", "zamba2", "recurrent_gemma", "qwen3_next", "nemotron_h"),
        *("granitemoehybrid", "lfm2"),
    }
)
# Models that compute something in their attention that sdpa leaves out, or know no sdpa.
EAGER_ONLY = frozenset(["gemma2", "gptj", "codegen"])


def attention_implementation(config: Any) -> str | None:
    """What to ask transformers for.

    RETURNS (str | None): "eager" for models that are exact only there; None where transformers
        chooses: sdpa, and eager for models that know no sdpa (bloom, mpt, mamba).
    """
    return "eager" if config.model_type in EAGER_ONLY else None


def supports_tree_mask(config: Any) -> bool:
    """RETURNS (bool): False for models that need one row a prompt, by name or setting."""
    chunked = getattr(config, "attention_chunk_size", None) is not None
    alibi = bool(getattr(config, "alibi", False))
    return config.model_type not in REPLICATED_ONLY and not chunked and not alibi


def attention_mask(config: Any, query: Paths, key: Paths, dtype: torch.dtype) -> Any:
    """The mask rule of the prompt tree, as `forward(attention_mask=…)` takes it.

    A 4D mask bypasses transformers' own sliding windows, so they are written into it, as a
    distance in positions (slots of one path need not be neighbours).

    config (transformers.PretrainedConfig): The model's configuration.
    query (Paths): Tensors of shape [rows, Q].
    key (Paths): Tensors of shape [rows, K].
    dtype (torch.dtype): The network's dtype, for eager attention, which adds the mask.
    RETURNS (torch.Tensor | dict[str, torch.Tensor]): [rows, 1, Q, K], booleans for sdpa, packed for
        packed attention, else 0 and the dtype's least value; one for each type of layer where types
        differ.
    """
    full = visible(query, key)[:, None]
    window = getattr(config, "sliding_window", None)
    types = set(getattr(config, "layer_types", None) or [])
    if getattr(config, "use_sliding_window", True) is False:
        window = None
    if not window or types == {"full_attention"}:
        return _as_attention_wants(config, full, dtype)
    near = (query.position[:, :, None] - key.position[:, None]) < window
    sliding = _as_attention_wants(config, full & near[:, None], dtype)
    if len(types) < 2:
        return sliding
    return {
        "full_attention": _as_attention_wants(config, full, dtype),
        "sliding_attention": sliding,
    }


def _as_attention_wants(config: Any, mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    if config._attn_implementation == packed_attention.NAME:
        return packed_attention.packed(mask, packed_attention.n_groups(config))
    if config._attn_implementation == "sdpa":
        return mask
    least = torch.finfo(dtype).min
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, least)
