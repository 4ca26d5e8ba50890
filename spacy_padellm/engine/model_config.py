"""Text configuration and context length from a transformers configuration."""

from __future__ import annotations

from typing import Any

POSITION_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len")


def text_config(config: Any) -> Any:
    """RETURNS (transformers.PretrainedConfig): The configuration of the text model, which is part
    of that of a multimodal model."""
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def max_positions(config: Any) -> int | None:
    """Read the context length of a model.

    config (transformers.PretrainedConfig): The configuration of the text model.
    RETURNS (int | None): Number of positions; None where the configuration sets no limit.
    """
    for key in POSITION_KEYS:
        if (limit := getattr(config, key, None)) is not None:
            return int(limit)
    return None
