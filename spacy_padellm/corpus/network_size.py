"""The dimensions of a network, for the estimate of memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class NetworkSize:
    """Dimensions and number of parameters of a network.

    hidden (int): Width of the residual stream.
    layers (int): Number of layers.
    heads (int): Total width of the query heads of a layer.
    feed_forward (int): Inner width of a feed-forward block.
    vocabulary (int): Number of output tokens.
    parameters (int): Parameters of the base.
    trained (int): Parameters of the adapter; without an adapter those of the base.
    lora (bool): Whether an adapter is trained.
    dropout (bool): Whether the adapter has dropout.
    """

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    parameters: int
    trained: int
    lora: bool
    dropout: bool

    @classmethod
    def from_config(
        cls, config: Any, parameters: int, adapter_parameters: int | None, dropout: float
    ) -> NetworkSize:
        """Read the dimensions from a configuration.

        config (transformers.PretrainedConfig): The configuration of the text model.
        parameters (int): Parameters of the base.
        adapter_parameters (int | None): Parameters of the adapter; None without an adapter.
        dropout (float): Dropout rate of the adapter.
        RETURNS (NetworkSize): The size.
        """
        hidden, n_heads = int(config.hidden_size), int(config.num_attention_heads)
        head_width = int(getattr(config, "head_dim", None) or hidden // n_heads)
        inner = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None)
        return cls(
            hidden,
            int(config.num_hidden_layers),
            n_heads * head_width,
            int(inner or 4 * hidden),
            int(config.vocab_size),
            parameters,
            parameters if adapter_parameters is None else adapter_parameters,
            lora=adapter_parameters is not None,
            dropout=dropout > 0,
        )
