"""Layers of llama-like networks with fused operations between the matrix products."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from ..prompts.tree import Paths
from .kv_cache import SlotCache
from .packed_attention import n_groups
from .partial_logits import PartialRequest, partial_logits
from .step import StepOutput

logger = logging.getLogger(__name__)

LAYER = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}
ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}
MLP = {"gate_proj", "up_proj", "down_proj", "act_fn"}
NETWORK = {"embed_tokens", "layers", "norm", "rotary_emb"}


class FusedLayers:
    """Passes with a KV cache, for networks with the layers of a llama.

    The time of a decode step on a GPU is bound by the number of its kernels: transformers launches
    about 37 per layer, this class 10. The weights are shared with the network: those that multiply
    the same states are concatenated, and the network's weights become views of the result.
    Rounding happens at the same steps as in transformers' layers.

    base (transformers.PreTrainedModel): The network, for which `fits` is true.
    config (transformers.PretrainedConfig): The configuration of its text model.
    device (torch.device): Its device.
    """

    def __init__(self, base: Any, config: Any, device: torch.device):
        decoder = base.model
        self._embed = decoder.embed_tokens
        self._rotary = decoder.rotary_emb
        self._norm = decoder.norm
        self._head = base.get_output_embeddings()
        self._layers = [_Layer.of(layer) for layer in decoder.layers]
        self._groups = n_groups(config)
        self._ops = operations(device)

    def __call__(
        self,
        ids: torch.Tensor,
        query: Paths,
        key: Paths,
        logits_indices: torch.Tensor,
        cache: SlotCache,
        partial: PartialRequest | None = None,
    ) -> StepOutput:
        """Run one pass; the arguments are those of `LanguageModel.forward`.

        RETURNS (StepOutput): Logits [n, vocabulary] and partial logits.
        """
        ops = self._ops
        rows, length = ids.shape
        hidden = self._embed(ids)
        cos, sin = self._rotary(hidden, query.position)
        mask = ops.path_mask(query, key, self._groups, hidden.dtype)
        hidden = hidden.flatten(0, 1)
        residual = None
        for number, layer in enumerate(self._layers):
            normed, residual = _add_norm(ops, hidden, residual, layer.before_attention)
            states = F.linear(normed, *layer.read).view(rows, length, -1)
            keys, values = cache.buffers(number, states, layer.n_key_heads, layer.head_size)
            queries = ops.rotate_and_store(states, cos, sin, cache.slots, keys, values)
            attended = F.scaled_dot_product_attention(
                queries.view(rows, layer.n_key_heads, -1, layer.head_size),
                keys[:, :, : cache.used],
                values[:, :, : cache.used],
                attn_mask=mask,
                scale=layer.scaling,
            )
            attended = attended.reshape(rows, -1, length, layer.head_size).transpose(1, 2)
            hidden = F.linear(attended.reshape(rows * length, -1), *_weights(layer.attended))
            normed, residual = _add_norm(ops, hidden, residual, layer.before_mlp)
            hidden = F.linear(ops.gated(F.linear(normed, *layer.gate)), *_weights(layer.down))
        assert residual is not None
        found = None
        if partial is not None:
            at = partial.indices
            normed, _ = _add_norm(ops, hidden[at], residual[at], self._norm)
            found = partial_logits(normed, self._head, partial.token_ids)
        at = logits_indices
        normed, _ = _add_norm(ops, hidden[at], residual[at], self._norm)
        return StepOutput(self._head(normed), partial_logits=found)


class _Layer(NamedTuple):
    before_attention: Any  # norm
    read: tuple[torch.Tensor, torch.Tensor | None]  # queries, keys and values
    attended: Any  # output projection
    before_mlp: Any  # norm
    gate: tuple[torch.Tensor, torch.Tensor | None]  # gate and up projection
    down: Any
    n_key_heads: int
    head_size: int
    scaling: float

    @classmethod
    def of(cls, layer: Any) -> _Layer:
        attention, mlp = layer.self_attn, layer.mlp
        return cls(
            layer.input_layernorm,
            _side_by_side(_read(layer)),
            attention.o_proj,
            layer.post_attention_layernorm,
            _side_by_side([mlp.gate_proj, mlp.up_proj]),
            mlp.down_proj,
            len(attention.k_proj.weight) // attention.head_dim,
            attention.head_dim,
            attention.scaling,
        )


def _side_by_side(modules: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Concatenate weights and biases of linear layers; those of the layers become views.

    modules (Sequence[Any]): Linear layers with the same inputs.
    RETURNS (tuple[torch.Tensor, torch.Tensor | None]): Weights [outputs, inputs], biases [outputs].
    """
    weights = [module.weight for module in modules]
    biases = [module.bias for module in modules if module.bias is not None]
    return _joined(weights), _joined(biases) if biases else None


def _joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    whole = torch.cat([part.data for part in parts])
    for part, view in zip(parts, whole.split([len(part) for part in parts]), strict=True):
        part.data = view
    return whole


def _weights(module: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    return module.weight, module.bias


def fits(base: Any, config: Any) -> bool:
    """RETURNS (bool): Whether a network has the modules of a llama. Its logits must still be
    compared."""
    decoder = getattr(base, "model", None)
    layers = list(getattr(decoder, "layers", None) or [])
    if decoder is None or not layers or _names(decoder) != NETWORK or _has_window(config):
        return False
    return all(
        _names(layer) == LAYER
        and _names(layer.self_attn) - {"rotary_emb"} == ATTENTION
        and _names(layer.mlp) == MLP
        and type(layer.mlp.act_fn).__name__ in ("SiLU", "SiLUActivation")
        and hasattr(layer.self_attn, "scaling")
        and hasattr(layer.self_attn, "head_dim")
        and all(hasattr(norm, "variance_epsilon") for norm in _norms(layer))
        and all(_is_plain(linear) for linear in _products(layer))
        and len({linear.bias is None for linear in _read(layer)}) == 1
        and (layer.mlp.gate_proj.bias is None) == (layer.mlp.up_proj.bias is None)
        for layer in layers
    ) and hasattr(decoder.norm, "variance_epsilon")


def operations(device: torch.device) -> ModuleType:
    """RETURNS (ModuleType): `fused_triton` on a GPU, else `fused_ops`."""
    if device.type == "cuda":
        try:
            from . import fused_triton
        except ImportError as error:
            logger.info("Triton is missing, so no operations are fused: %s", error)
        else:
            return fused_triton
    from . import fused_ops

    return fused_ops


def _has_window(config: Any) -> bool:
    return bool(getattr(config, "sliding_window", None)) and (
        getattr(config, "use_sliding_window", True) is not False
    )


def _names(module: torch.nn.Module) -> set[str]:
    return {name for name, _ in module.named_children()}


def _norms(layer: Any) -> list[Any]:
    return [layer.input_layernorm, layer.post_attention_layernorm]


def _products(layer: Any) -> list[Any]:
    attention = [getattr(layer.self_attn, name) for name in sorted(ATTENTION)]
    return attention + [getattr(layer.mlp, name) for name in sorted(MLP - {"act_fn"})]


def _read(layer: Any) -> list[Any]:
    return [layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj]


def _is_plain(module: Any) -> bool:
    """RETURNS (bool): Whether a module is a linear layer, or peft's wrapper around one whose
    adapter is merged."""
    if type(module) is torch.nn.Linear:
        return True
    inner = getattr(module, "base_layer", None)
    return type(inner) is torch.nn.Linear and bool(getattr(module, "merged", False))


def _add_norm(
    ops: Any, hidden: torch.Tensor, residual: torch.Tensor | None, norm: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    return ops.add_norm(hidden, residual, norm.weight, norm.variance_epsilon)
