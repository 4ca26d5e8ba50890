"""The training pass as CUDA graphs: all kernels of a pass start in one launch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from ..engine.buckets import rounded_up
from ..engine.language_model import ROW_TOKENS, LanguageModel
from ..prompts.layout import lay_out, pack
from ..prompts.tree import NO_TARGET, Paths, PromptTree
from .loss import Backprop, Loss

MAX_GRAPHS = 12


def build_loss(model: LanguageModel, autocast: bool, compiled: bool = False) -> Loss:
    """Build the loss that suits a model's device.

    model (LanguageModel): The model, its trainable parameters marked by `requires_grad`.
    autocast (bool): Whether to compute in bfloat16 by torch's autocast.
    compiled (bool): Whether captured layers are compiled by torch.
    RETURNS (Loss): On a CUDA device a `GraphedLoss`, if the model supports the tree mask.
    """
    if model.device.type == "cuda" and model.supports_tree_mask:
        return GraphedLoss(model, autocast, compiled)
    return Loss(model, autocast)


class LossShape(NamedTuple):
    """Sizes of a captured training pass.

    rows (int): Rows of the batch.
    length (int): Tokens per row.
    targets (int): Targets of all rows.
    """

    rows: int
    length: int
    targets: int


class CapturedLoss(NamedTuple):
    """A captured training pass and the memory that it reads and writes.

    tokens (torch.Tensor): Token ids, then their paths, int64 [6, rows, length].
    targets (torch.Tensor): Indices of logits in the flattened rows, then target ids, int64
        [2, targets].
    gradient (torch.Tensor): Gradient with respect to `nll`, float32 [targets].
    nll (torch.Tensor): float32 [targets] in nats.
    gradients (Sequence[torch.Tensor | None]): The gradient of each parameter.
    forward (torch.cuda.CUDAGraph): Computes `nll`.
    backward (torch.cuda.CUDAGraph): Computes `gradients`.
    """

    tokens: torch.Tensor
    targets: torch.Tensor
    gradient: torch.Tensor
    nll: torch.Tensor
    gradients: Sequence[torch.Tensor | None]
    forward: torch.cuda.CUDAGraph
    backward: torch.cuda.CUDAGraph


class GraphedLoss(Loss):
    """A loss whose passes are captured once per shape of batch, then replayed.

    Batches are padded to one of few shapes. Trees longer than a row, and shapes beyond
    `MAX_GRAPHS`, run uncaptured. The graphs read the parameters in place, and are captured again
    where these have moved.

    model (LanguageModel): The model, on a CUDA device, with support of the tree mask.
    autocast (bool): Whether to compute in bfloat16 by torch's autocast.
    compiled (bool): Whether layers are compiled by torch before they are captured.
    """

    def __init__(self, model: LanguageModel, autocast: bool, compiled: bool = False):
        super().__init__(model, autocast)
        self._compiled = compiled
        self._captured: dict[LossShape, CapturedLoss] = {}
        self._pool: Any = None
        self._n_replays = 0
        self._placement: Any = None

    def __call__(self, trees: Sequence[PromptTree]) -> tuple[torch.Tensor, Backprop]:
        """As `Loss.__call__`, by replaying the pass of the batch's shape."""
        self._drop_moved()
        row_of_tree = self._rows(trees)
        n_targets = sum(tree.n_targets for tree in trees)
        shape = self._shape(row_of_tree, n_targets)
        if shape is None:
            return super().__call__(trees)
        captured = self._captured.get(shape) or self._capture(shape)
        tokens, targets = _inputs(trees, row_of_tree, shape)
        replay = self._replay(captured, tokens, targets)

        def backprop(gradient: torch.Tensor) -> None:
            if self._n_replays != replay:  # another pass has used the memory in between
                self._replay(captured, tokens, targets)
            captured.gradient.zero_()
            captured.gradient[:n_targets] = gradient
            captured.backward.replay()
            self.add(captured.gradients)

        return captured.nll[:n_targets].clone(), backprop

    def _replay(self, captured: CapturedLoss, tokens: torch.Tensor, targets: torch.Tensor) -> int:
        """Run a captured forward pass.

        RETURNS (int): The number of this replay.
        """
        captured.tokens.copy_(tokens, non_blocking=True)
        captured.targets.copy_(targets, non_blocking=True)
        captured.forward.replay()
        self._n_replays += 1
        return self._n_replays

    def _drop_moved(self) -> None:
        """Drop captured passes if the weights have moved, as fusing layers does."""
        placement = self.model.weight_placement()
        if placement != self._placement:
            self._captured.clear()
            self._pool = None
            self._placement = placement

    def _rows(self, trees: Sequence[PromptTree]) -> list[int]:
        """RETURNS (list[int]): The row of each tree; empty if one of them is longer than a row."""
        sizes = [len(tree) for tree in trees]
        return pack(sizes, ROW_TOKENS) if sizes and max(sizes) <= ROW_TOKENS else []

    def _shape(self, row_of_tree: Sequence[int], n_targets: int) -> LossShape | None:
        """RETURNS (LossShape | None): The shape to pad the batch to; None for an uncaptured
        pass."""
        if not row_of_tree or not n_targets:
            return None
        n_rows = rounded_up(max(row_of_tree) + 1)
        sufficient = [
            shape
            for shape in self._captured
            if shape.rows == n_rows and n_targets <= shape.targets <= 1.5 * n_targets
        ]
        if sufficient:
            return min(sufficient)
        if len(self._captured) == MAX_GRAPHS:
            return None
        # Some more targets than these, so that the next batch of as many rows fits as well.
        return LossShape(n_rows, ROW_TOKENS, rounded_up(n_targets + n_targets // 8))

    def _capture(self, shape: LossShape) -> CapturedLoss:
        device = self.model.device
        tokens = torch.zeros(6, shape.rows, shape.length, dtype=torch.long, device=device)
        targets = torch.zeros(2, shape.targets, dtype=torch.long, device=device)
        gradient = torch.zeros(shape.targets, device=device)
        with _layers_compiled(self.model, self._compiled):
            # Libraries allocate and choose kernels at first use, which can't be captured.
            stream = torch.cuda.Stream(device)
            stream.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(stream):
                for _ in range(2):
                    self.gradients(self._nll(tokens, targets), gradient)
            torch.cuda.current_stream(device).wait_stream(stream)
            if self._pool is None:
                self._pool = torch.cuda.graph_pool_handle()
            forward, backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
            with torch.cuda.graph(forward, pool=self._pool):
                nll = self._nll(tokens, targets)
            with torch.cuda.graph(backward, pool=self._pool):
                gradients = self.gradients(nll, gradient)
        captured = CapturedLoss(
            tokens, targets, gradient, nll.detach(), gradients, forward, backward
        )
        self._captured[shape] = captured
        return captured

    def _nll(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        paths = Paths(*tokens[1:])
        with torch.enable_grad(), self.precision():
            logits = self.model.forward(tokens[0], paths, paths, targets[0]).logits
            return F.cross_entropy(logits.float(), targets[1], reduction="none")


def _inputs(
    trees: Sequence[PromptTree], row_of_tree: Sequence[int], shape: LossShape
) -> tuple[torch.Tensor, torch.Tensor]:
    """RETURNS (tuple[torch.Tensor, torch.Tensor]): `tokens` and `targets` of a `CapturedLoss`, in
    pinned memory."""
    layout = lay_out(trees, row_of_tree, (shape.rows, shape.length))
    target = np.concatenate([tree.target for tree in trees])
    has_target = target != NO_TARGET
    n_targets = int(has_target.sum())
    targets = np.zeros((2, shape.targets), dtype=np.int64)
    targets[0, :n_targets] = layout.row[has_target] * shape.length + layout.column[has_target]
    targets[1, :n_targets] = target[has_target]
    tokens = torch.from_numpy(np.stack([layout.ids, *layout.paths]))
    return tokens.pin_memory(), torch.from_numpy(targets).pin_memory()


@contextlib.contextmanager
def _layers_compiled(model: LanguageModel, compiled: bool) -> Iterator[None]:
    """Context in which the network's layers run compiled. All of them share one compiled code."""
    if not compiled:
        yield
        return
    lists = [list(m) for m in model.base.modules() if isinstance(m, torch.nn.ModuleList)]
    layers = max(lists, key=len)
    try:
        for layer in layers:
            layer.compile(dynamic=False)
        yield
    finally:
        for layer in layers:
            layer._compiled_call_impl = None
