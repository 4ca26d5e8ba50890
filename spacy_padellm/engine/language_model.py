"""A causal LM with its tokenizer: plain forward passes and losses over prompt trees."""

from __future__ import annotations

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
from .kv_cache import SlotCache
from .model_config import max_positions, text_config
from .packed_attention import use_packed_attention
from .partial_logits import PartialRequest, partial_logits
from .step import StepOutput
from .transfer import on_device

ROW_TOKENS = 512  # attention grows with the row's length, padding with the number of rows


class LanguageModel:
    """A network with its tokenizer. Decoders run it through a `Runner`, losses run it directly.

    network (torch.nn.Module): A transformers causal LM, or peft's wrapper around one.
    codec (Codec): Its tokenizer.
    supports_tree_mask (bool): Whether the network is exact under the tree mask (see probe.py);
        False for networks that need one row per prompt.

    lock (threading.RLock): Held during a forward pass: it adds a hook to the network.
    """

    def __init__(self, network: Any, codec: Codec, supports_tree_mask: bool = True):
        self.network = network
        self.codec = codec
        self.supports_tree_mask = supports_tree_mask
        self.lock = threading.RLock()
        use_packed_attention(self.base)

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
        """RETURNS (torch.device): The device of the weights."""
        return self._embeddings.weight.device

    @cached_property
    def _embeddings(self) -> Any:
        return self.base.get_input_embeddings()

    @property
    def max_positions(self) -> int | None:
        """RETURNS (int | None): Number of positions that the network distinguishes; None if its
        configuration names none."""
        return max_positions(self.config)

    def tensor(self, values: Ints) -> torch.Tensor:
        """RETURNS (torch.Tensor): The values on the network's device."""
        return on_device(values, self.device)

    def weight_placement(self) -> tuple[Any, ...]:
        """RETURNS (tuple): Addresses of all weights, the active adapters and whether they are
        merged. It changes whenever captured passes would read stale memory."""
        addresses = tuple(parameters[name].data_ptr() for parameters, name in self._owners)
        names = ("active_adapters", "merged")
        return addresses, *(str(getattr(self._adapted_layer, name, None)) for name in names)

    @cached_property
    def _owners(self) -> list[tuple[Any, str]]:
        return [
            (module._parameters, name)
            for module in self.network.modules()
            for name, weight in module._parameters.items()
            if weight is not None
        ]

    @cached_property
    def _adapted_layer(self) -> Any:
        # A layer of peft; its wrapper around the network does not know what is merged.
        modules = self.network.modules()
        return next((m for m in modules if isinstance(getattr(m, "merged", 0), bool)), None)

    def check_horizons(self, trees: Sequence[PromptTree]) -> None:
        """RAISES (ValueError): Trees with bidirectional text, for a network without tree masks."""
        if self.supports_tree_mask:
            return
        if any((tree.horizon != tree.position).any() for tree in trees):
            raise ValueError(
                "The prompt has both_ways = true, so that the text attends to itself in both "
                f"directions, and base model {self.config.model_type!r} can't do that: it needs "
                "plain causal attention. Set both_ways = false."
            )

    def nll(self, trees: Sequence[PromptTree]) -> torch.Tensor:
        """Compute the negative log-likelihood of each target in one plain pass; model/loss.py has
        the training pass.

        trees (Sequence[PromptTree]): Trees with targets.
        RETURNS (torch.Tensor): float32 [targets], in nats, in the order of trees and their tokens.
            Gradients flow where torch has them enabled.
        """
        self.check_horizons(trees)
        targets = np.concatenate([tree.target[tree.target != NO_TARGET] for tree in trees])
        compute = self.tree_logits if self.supports_tree_mask else self._prompt_logits
        logits = compute(trees)
        return F.cross_entropy(logits.float(), self.tensor(targets), reduction="none")

    def tree_logits(self, trees: Sequence[PromptTree]) -> torch.Tensor:
        """RETURNS (torch.Tensor): Logits after each token that has a target [targets,
        vocabulary]."""
        rows = lay_out(trees, pack([len(tree) for tree in trees], ROW_TOKENS))
        has_target = np.concatenate([tree.target for tree in trees]) != NO_TARGET
        indices = rows.row[has_target] * rows.ids.shape[1] + rows.column[has_target]
        paths = Paths(*map(self.tensor, rows.paths))
        return self.forward(self.tensor(rows.ids), paths, paths, self.tensor(indices)).logits

    def forward(
        self,
        ids: torch.Tensor,
        query: Paths,
        key: Paths,
        logits_indices: torch.Tensor,
        cache: SlotCache | None = None,
        partial: PartialRequest | None = None,
    ) -> StepOutput:
        """Run one pass under the mask rule of prompt trees (`prompts.tree.visible`).

        ids (torch.Tensor): Token ids, int64 [rows, Q].
        query (Paths): Paths of these tokens, tensors of shape [rows, Q].
        key (Paths): Paths of all tokens they may attend to, tensors of shape [rows, K].
        logits_indices (torch.Tensor): int64 [n]: indices into the flattened [rows * Q].
        cache (SlotCache | None): Keys and values of earlier tokens.
        partial (PartialRequest | None): Partial logits to compute, for models that support them.
        RETURNS (StepOutput): Logits [n, vocabulary] and partial logits.
        """
        return self._run(
            logits_indices,
            partial,
            input_ids=ids,
            attention_mask=attention_mask(self.config, query, key, self.base.dtype),
            position_ids=query.position,
            past_key_values=cache,
            use_cache=cache is not None,
        )

    def sequence_logits(
        self, sequences: Sequence[Sequence[int] | Ints], sequence: Ints, index: Ints
    ) -> torch.Tensor:
        """Run one pass over separate sequences, as any causal LM takes them: no KV cache, no 4D
        mask.

        sequences (Sequence[Sequence[int]]): Token ids of each.
        sequence (Ints): The sequence of each token whose logits are returned [n].
        index (Ints): Its index in that sequence [n].
        RETURNS (torch.Tensor): Logits after these tokens [n, vocabulary].
        """
        length = max(len(ids) for ids in sequences)
        ids = np.zeros((len(sequences), length), dtype=np.int64)
        mask = np.zeros_like(ids)
        for i, tokens in enumerate(sequences):
            ids[i, : len(tokens)] = tokens
            mask[i, : len(tokens)] = 1
        output = self._run(
            self.tensor(sequence * length + index),
            None,
            input_ids=self.tensor(ids),
            attention_mask=self.tensor(mask),
            use_cache=False,
        )
        return output.logits

    def causal_forward(
        self, ids: torch.Tensor, logits_indices: torch.Tensor, partial: PartialRequest | None = None
    ) -> StepOutput:
        """RETURNS (StepOutput): Logits at indices of one sequence [1, length], in a plain causal
        pass."""
        return self._run(logits_indices, partial, input_ids=ids, use_cache=False)

    def _prompt_logits(self, trees: Sequence[PromptTree]) -> torch.Tensor:
        prompts = [prompt for tree in trees for prompt in tree.prompts()]
        ends = [np.flatnonzero(prompt.target != NO_TARGET) for prompt in prompts]
        sequence = np.repeat(np.arange(len(prompts)), [len(end) for end in ends])
        return self.sequence_logits(
            [prompt.ids for prompt in prompts], sequence, np.concatenate(ends)
        )

    def _run(
        self, logits_indices: torch.Tensor, partial: PartialRequest | None, **inputs: Any
    ) -> StepOutput:
        # The hook selects positions before the output layer, so that what a model does after it
        # (scaling, softcapping) still happens.
        partial_outputs: list[torch.Tensor] = []

        def select(head: Any, hidden: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            states = hidden[0].flatten(0, 1)
            if partial is not None:
                partial_outputs.append(
                    partial_logits(states[partial.indices], head, partial.token_ids)
                )
            return (states[logits_indices][None], *hidden[1:])

        with self.lock:
            hook = self.base.get_output_embeddings().register_forward_pre_hook(select)
            try:
                logits = self.network(**inputs).logits[0]
            finally:
                hook.remove()
        return StepOutput(logits, partial_logits=partial_outputs[0] if partial_outputs else None)
