"""Runs a language model for decoders: fused layers, captured passes, and rows of prompts."""

from __future__ import annotations

import logging
import threading
from functools import cached_property

import torch

from .cached_rows import CachedRows
from .fused_layers import FusedLayers, fits
from .language_model import LanguageModel
from .probe import cached_logits, matches_partial_logits, toy_tree
from .recomputed_rows import RecomputedRows
from .step_graphs import StepGraphs

logger = logging.getLogger(__name__)

# Relative difference of logits to those of transformers' own layers.
FUSED_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-4}
HALF_TOLERANCE = 2e-2


class Runner:
    """Runs passes behind a KV cache: fuses layers, captures passes, creates rows.

    model (LanguageModel): The model.
    fuse (bool | None): Whether passes behind a KV cache run through `FusedLayers` where the network
        has llama-like layers; None for on a GPU.

    graphs (StepGraphs): The captured passes.
    """

    def __init__(self, model: LanguageModel, fuse: bool | None = None):
        self.model = model
        self.graphs = StepGraphs()
        self._fuse = fuse
        self._fused: FusedLayers | None = None
        self._fused_placement: object = None

    @property
    def lock(self) -> threading.RLock:
        """RETURNS (threading.RLock): Held while a batch is decoded: replayed passes share their
        memory."""
        return self.model.lock

    @property
    def fuses(self) -> bool:
        """RETURNS (bool): Whether layers are fused where the network allows it."""
        return self.model.device.type == "cuda" if self._fuse is None else self._fuse

    @property
    def fused_layers(self) -> FusedLayers | None:
        """RETURNS (FusedLayers | None): The layers of passes behind a KV cache since the last
        `start_rows`; None for transformers' own."""
        return self._fused

    def supports_partial_logits(self) -> bool:
        """RETURNS (bool): Whether logits of few tokens can be computed without the others; the
        first call compares them in a pass."""
        if not self.model.supports_tree_mask:
            return False
        is_linear = type(self.model.base.get_output_embeddings()) is torch.nn.Linear
        return is_linear and self._matches_partial_logits

    @cached_property
    def _matches_partial_logits(self) -> bool:
        return matches_partial_logits(self.model)

    def start_rows(
        self, n_rows: int, capacity: int, graphs: bool = False
    ) -> CachedRows | RecomputedRows:
        """Empty rows of prompts.

        n_rows (int): Rows of the batch.
        capacity (int): Expected number of tokens per row.
        graphs (bool): Whether passes are replayed as CUDA graphs; not for separate prompts.
        RETURNS (CachedRows | RecomputedRows): Rows behind a KV cache where the network supports
            tree masks, else rows of one prompt each.
        """
        model = self.model
        if not model.supports_tree_mask:
            return RecomputedRows(model, n_rows)
        self._refresh_fused()
        if graphs:
            self.graphs.follow((model.weight_placement(), self._fused is not None))
        forward = model.forward if self._fused is None else self._fused
        return CachedRows(forward, model.device, n_rows, capacity, self.graphs if graphs else None)

    def release_memory(self) -> None:
        """Drop captured passes and their memory."""
        self.graphs.drop()

    def _refresh_fused(self) -> None:
        """Fuse the layers again where the weights have moved; unfuse where they are not fused."""
        if not self.fuses:
            self._fused = self._fused_placement = None
            return
        if self.model.weight_placement() == self._fused_placement:
            return
        self._fused = None
        if fits(self.model.base, self.model.config):
            with torch.inference_mode():
                self._fused = self._verified_fused_layers()
        self._fused_placement = self.model.weight_placement()  # fusing moves the weights

    def _verified_fused_layers(self) -> FusedLayers | None:
        """RETURNS (FusedLayers | None): Fused layers; None, with a warning, where their logits
        differ from transformers' own."""
        model = self.model
        tree = toy_tree(model.base.get_input_embeddings().num_embeddings)
        plain = cached_logits(model.forward, model.device, tree).float()
        in_one_pass = model.tree_logits([tree]).float()
        # Built outside of inference mode: the weights may be trained afterwards.
        with torch.inference_mode(False), torch.no_grad():
            fused = FusedLayers(model.base, model.config, model.device)
        fused_logits = cached_logits(fused, model.device, tree).float()
        # Rounding error in half precision: one pass compared with two.
        noise = float((in_one_pass - plain).norm() / plain.norm())
        difference = float((fused_logits - plain).norm() / plain.norm())
        if difference <= max(2 * noise, FUSED_TOLERANCE.get(model.base.dtype, HALF_TOLERANCE)):
            return fused
        logger.warning(
            "The layers of base model %r are not fused: their logits would differ by %.2g.",
            model.config.model_type,
            difference,
        )
        return None
