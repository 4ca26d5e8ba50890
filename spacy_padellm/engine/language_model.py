"""A causal LM that reads prompt trees: logits and losses, with or without a KV cache."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..prompts.layout import lay_out, pack
from ..prompts.tree import NO_TARGET, Paths, PromptTree
from ..tokenization.arrays import Ints
from ..tokenization.codec import Codec
from .attention import attention_mask
from .fused_layers import FusedLayers, fits
from .kv_cache import SlotCache
from .model_config import max_positions, text_config
from .packed_attention import use_packed_attention
from .partial_logits import Glance, glances
from .prompt_rows import CachedRows, RecomputedRows
from .step_graphs import StepGraphs
from .transfer import on_device

logger = logging.getLogger(__name__)

# Relative difference of logits to those of transformers' own layers.
FUSED_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-4}
ROW_TOKENS = 512  # attention grows with the row's length, padding with the number of rows


class LanguageModel:
    """A network with its tokenizer.

    network (torch.nn.Module): A transformers causal LM, or peft's wrapper around one.
    codec (Codec): Its tokenizer.
    supports_tree_mask (bool): Whether the network is exact under the tree mask (see probe.py);
        False for networks that need one row per prompt.

    fuses (bool | None): Whether passes behind a KV cache run through `FusedLayers` where the
        network is built so; None for on a GPU.
    """

    def __init__(self, network: Any, codec: Codec, supports_tree_mask: bool = True):
        self.network = network
        self.codec = codec
        self.supports_tree_mask = supports_tree_mask
        self.fuses: bool | None = None
        self.placement: Any = None
        self._fused: tuple[Any, FusedLayers | None] | None = None
        use_packed_attention(self.base)
        # The hook of one pass must not fire in another's; replayed passes share their memory.
        self.lock = threading.RLock()

    @property
    def base(self) -> Any:
        """RETURNS (transformers.PreTrainedModel): The network below any adapter."""
        return getattr(self.network, "get_base_model", lambda: self.network)()

    @property
    def config(self) -> Any:
        """RETURNS (transformers.PretrainedConfig): The configuration of the text model."""
        return text_config(self.base.config)

    @property
    def device(self) -> torch.device:
        """RETURNS (torch.device): Where the network lies."""
        return self._embeddings.weight.device

    @cached_property
    def _embeddings(self) -> Any:
        return self.base.get_input_embeddings()

    @property
    def max_positions(self) -> int | None:
        """RETURNS (int | None): Context length of the network; None where it has no limit."""
        return max_positions(self.config)

    def tensor(self, values: Ints) -> torch.Tensor:
        """RETURNS (torch.Tensor): The values on the network's device."""
        return on_device(values, self.device)

    def refresh_fused(self) -> None:
        """`note_placement`, for what decodes and reads the weights in place. Layers that are to be
        fused are fused first, as that moves weights."""
        self.note_placement()
        if self.fusing and (self._fused is None or self._fused[0] != self.placement):
            self._fused = self.placement, None
            if fits(self):
                with torch.inference_mode():
                    self._compare_fused()

    def note_placement(self) -> None:
        """Note where the weights lie, and which adapters are active or folded into them."""
        addresses = [parameters[name].data_ptr() for parameters, name in self._owners]
        adapters = [getattr(self._adapted, name, None) for name in ("active_adapters", "merged")]
        self.placement = addresses, adapters

    @cached_property
    def _owners(self) -> list[tuple[Any, str]]:
        modules = self.network.modules()
        return [
            (one._parameters, name)
            for one in modules
            for name, weight in one._parameters.items()
            if weight is not None
        ]

    @cached_property
    def _adapted(self) -> Any:
        # A layer of peft; its wrapper around the network does not know what is folded.
        modules = self.network.modules()
        return next((one for one in modules if isinstance(getattr(one, "merged", 0), bool)), None)

    @property
    def fusing(self) -> bool:
        """RETURNS (bool): Whether layers are to be fused where the network is built so."""
        return self.device.type == "cuda" if self.fuses is None else self.fuses

    def fused_layers(self) -> FusedLayers | None:
        """RETURNS (FusedLayers | None): Layers for passes behind a KV cache; None where these are
        left to transformers: on a CPU, and for a network that is built or answers otherwise."""
        if not self.fusing or torch.is_grad_enabled() or self._fused is None:
            return None
        return self._fused[1] if self._fused[0] == self.placement else None

    def _compare_fused(self) -> None:
        from .probe import cached_logits, toy_tree

        tree = toy_tree(self.base.get_input_embeddings().num_embeddings)
        plain, at_once = cached_logits(self, tree).float(), self.tree_logits([tree]).float()
        # Made outside of inference mode: the weights may be trained afterwards.
        with torch.inference_mode(False), torch.no_grad():
            fused = FusedLayers(self)
        self.note_placement()
        self._fused = self.placement, fused
        found = cached_logits(self, tree).float()
        # What differs in half precision where the tree is read in one pass and not in two.
        noise = float((at_once - plain).norm() / plain.norm())
        difference = float((found - plain).norm() / plain.norm())
        if not difference <= max(2 * noise, FUSED_TOLERANCE.get(self.base.dtype, 2e-2)):
            self._fused = self.placement, None
            logger.warning(
                "The layers of base model %r are not fused: their logits would differ by %.2g.",
                self.config.model_type,
                difference,
            )

    @cached_property
    def step_graphs(self) -> StepGraphs:
        """RETURNS (StepGraphs): The captured passes of this model."""
        return StepGraphs(self)

    def give_back_memory(self) -> None:
        """Forget captured passes and what they keep."""
        if "step_graphs" in vars(self):
            self.step_graphs.drop()

    def start_rows(
        self, n_rows: int, capacity: int, graphs: bool = False
    ) -> CachedRows | RecomputedRows:
        """Rows of prompts to be fed, empty.

        n_rows (int): Rows of the batch.
        capacity (int): Tokens a row is expected to come to.
        graphs (bool): Whether passes are replayed as CUDA graphs; not for separate prompts.
        RETURNS (CachedRows | RecomputedRows): With a KV cache where the network takes path masks;
            else rows that hold one prompt each.
        """
        if self.supports_tree_mask:
            return CachedRows(self, n_rows, capacity, graphs)
        return RecomputedRows(self, n_rows)

    def nll(self, trees: Sequence[PromptTree]) -> torch.Tensor:
        """Negative log-likelihood of each target, plainly; see loss.py for training.

        trees (Sequence[PromptTree]): Trees with targets.
        RETURNS (torch.Tensor): float32 [targets], in the order of trees and of their tokens, in
            nats; torch's gradients flow where they are enabled.
        """
        self.check_horizons(trees)
        targets = np.concatenate([tree.target[tree.target != NO_TARGET] for tree in trees])
        logits = self.tree_logits(trees) if self.supports_tree_mask else self._prompt_logits(trees)
        return F.cross_entropy(logits.float(), self.tensor(targets), reduction="none")

    def check_horizons(self, trees: Sequence[PromptTree]) -> None:
        """RAISES (ValueError): Trees whose text is seen both ways, and a network that can't."""
        if not self.supports_tree_mask and any(
            (tree.horizon != tree.position).any() for tree in trees
        ):
            raise ValueError(
                "The prompt has both_ways = true, so that the text sees itself in both directions, "
                f"and base model {self.config.model_type!r} can't: it needs plain causal "
                "attention. Set both_ways = false."
            )

    def tree_logits(self, trees: Sequence[PromptTree]) -> torch.Tensor:
        """RETURNS (torch.Tensor): Logits after each token that has a target [targets, V]."""
        rows = lay_out(trees, pack([len(tree) for tree in trees], ROW_TOKENS))
        asked = np.concatenate([tree.target for tree in trees]) != NO_TARGET
        wanted = rows.row[asked] * rows.ids.shape[1] + rows.column[asked]
        paths = Paths(*map(self.tensor, rows.paths))
        return self.path_logits(self.tensor(rows.ids), paths, paths, self.tensor(wanted))

    def path_logits(
        self,
        ids: torch.Tensor,
        query: Paths,
        key: Paths,
        wanted: torch.Tensor,
        cache: SlotCache | None = None,
        glance: Glance | None = None,
    ) -> torch.Tensor:
        """One pass under the mask rule.

        ids (torch.Tensor): Token ids, int64 [rows, Q].
        query (Paths): Paths of these tokens, tensors of shape [rows, Q].
        key (Paths): Paths of all tokens they may see, tensors of shape [rows, K].
        wanted (torch.Tensor): int64 [n]: places in the flattened [rows * Q].
        cache (SlotCache | None): Where earlier tokens' keys and values are.
        glance (Glance | None): What else is wanted, where the model `glances`.
        RETURNS (torch.Tensor): [n, vocabulary], in the network's dtype.
        """
        if cache is not None and (fused := self.fused_layers()) is not None:
            return fused(ids, query, key, wanted, cache, glance)
        return self._forward(
            wanted,
            glance,
            input_ids=ids,
            attention_mask=attention_mask(self.config, query, key, self.base.dtype),
            position_ids=query.position,
            past_key_values=cache,
            use_cache=cache is not None,
        )

    def _prompt_logits(self, trees: Sequence[PromptTree]) -> torch.Tensor:
        prompts = [prompt for tree in trees for prompt in tree.prompts()]
        ends = [np.flatnonzero(prompt.target != NO_TARGET) for prompt in prompts]
        where = np.repeat(np.arange(len(prompts)), [len(end) for end in ends])
        return self.plain_logits([prompt.ids for prompt in prompts], where, np.concatenate(ends))

    def plain_logits(
        self, sequences: Sequence[Sequence[int] | Ints], where: Ints, ends: Ints
    ) -> torch.Tensor:
        """One pass over separate sequences, as any causal LM takes them: no cache, no 4D mask.

        sequences (Sequence[Sequence[int]]): Token ids of each.
        where (Ints): Sequence of each wanted token [n].
        ends (Ints): Index of each wanted token in its sequence [n].
        RETURNS (torch.Tensor): Logits after the wanted tokens [n, vocabulary].
        """
        length = max(len(sequence) for sequence in sequences)
        ids = np.zeros((len(sequences), length), dtype=np.int64)
        mask = np.zeros_like(ids)
        for i, sequence in enumerate(sequences):
            ids[i, : len(sequence)] = sequence
            mask[i, : len(sequence)] = 1
        return self._forward(
            self.tensor(where * length + ends),
            None,
            input_ids=self.tensor(ids),
            attention_mask=self.tensor(mask),
            use_cache=False,
        )

    @property
    def glances(self) -> bool:
        """RETURNS (bool): Whether some tokens' logits can be had without the others'."""
        return type(self.base.get_output_embeddings()) is torch.nn.Linear and self._glances

    @cached_property
    def _glances(self) -> bool:
        return glances(self)

    def plain_pass(
        self, ids: torch.Tensor, wanted: torch.Tensor, glance: Glance | None = None
    ) -> torch.Tensor:
        """RETURNS (torch.Tensor): Logits [n, vocabulary] at places in the flattened ids of one
        sequence [1, length]."""
        return self._forward(wanted, glance, input_ids=ids, use_cache=False)

    def _forward(self, wanted: torch.Tensor, glance: Glance | None, **inputs: Any) -> torch.Tensor:
        # The hook picks places before the output layer, so that what a model does after it
        # (scaling, softcapping) still happens.
        def pick(head: Any, hidden: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            states = hidden[0].flatten(0, 1)
            if glance is not None:
                glance.read(states[glance.places], head)
            return (states[wanted][None], *hidden[1:])

        with self.lock:
            hook = self.base.get_output_embeddings().register_forward_pre_hook(pick)
            try:
                return self.network(**inputs).logits[0]
            finally:
                hook.remove()
