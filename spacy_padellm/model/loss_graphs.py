"""The training pass as CUDA graphs: the same work, launched at once instead of kernel by kernel."""

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

MOST_GRAPHS = 12


class Shape(NamedTuple):
    """Sizes of a captured pass: rows, tokens of each, targets."""

    rows: int
    length: int
    targets: int


class _Captured(NamedTuple):
    tokens: torch.Tensor  # int64 [6, rows, length]: ids, then paths
    asked: torch.Tensor  # int64 [2, targets]: places, targets
    gradient: torch.Tensor  # float32 [targets]
    nll: torch.Tensor  # float32 [targets]
    gradients: Sequence[torch.Tensor | None]
    forward: torch.cuda.CUDAGraph
    backward: torch.cuda.CUDAGraph


class GraphedLoss(Loss):
    """A loss whose passes are captured once for each shape of batch, then replayed.

    Batches are padded to one of few shapes; what is longer than a row, or comes in more shapes
    than are kept, goes the plain way. The graphs read the parameters in place, and are
    captured anew where these have moved.

    model (LanguageModel): The model, on a CUDA device, whose attention takes path masks.
    half (bool): Whether to compute in bfloat16 by autocast.
    compiled (bool): Whether layers are compiled by torch before they are captured.
    """

    def __init__(self, model: LanguageModel, half: bool, compiled: bool = False):
        super().__init__(model, half)
        self._compiled = compiled
        self._captured: dict[Shape, _Captured] = {}
        self._pool: Any = None
        self._passes = 0
        self._placement: Any = None

    def __call__(self, trees: Sequence[PromptTree]) -> tuple[torch.Tensor, Backprop]:
        """RETURNS (tuple[torch.Tensor, Backprop]): As Loss."""
        self._check_weights()
        shape, rows, n_targets = self._shape(trees)
        if shape is None:
            return super().__call__(trees)
        captured = self._captured.get(shape) or self._capture(shape)
        tokens, asked = _inputs(trees, rows, shape)

        def forward() -> int:
            captured.tokens.copy_(tokens, non_blocking=True)
            captured.asked.copy_(asked, non_blocking=True)
            captured.forward.replay()
            self._passes += 1
            return self._passes

        number = forward()

        def backprop(gradient: torch.Tensor) -> None:
            if self._passes != number:  # another pass has used the memory in between
                forward()
            captured.gradient.zero_()
            captured.gradient[:n_targets] = gradient
            captured.backward.replay()
            self.add(captured.gradients)

        return captured.nll[:n_targets].clone(), backprop

    def _check_weights(self) -> None:
        # An evaluation in between may have moved them (fused_layers.py).
        placement = self.model.weight_placement()
        if placement != self._placement:
            self._captured.clear()
            self._pool = None
            self._placement = placement

    def _shape(self, trees: Sequence[PromptTree]) -> tuple[Shape | None, list[int], int]:
        sizes = [len(tree) for tree in trees]
        n_targets = sum(tree.n_targets for tree in trees)
        if not sizes or max(sizes) > ROW_TOKENS or not n_targets:
            return None, [], n_targets
        rows = pack(sizes, ROW_TOKENS)
        n_rows = rounded_up(max(rows) + 1)
        fitting = [
            shape
            for shape in self._captured
            if shape.rows == n_rows and n_targets <= shape.targets <= 1.5 * n_targets
        ]
        if fitting:
            return min(fitting), rows, n_targets
        if len(self._captured) == MOST_GRAPHS:
            return None, rows, n_targets
        # Some more targets than these, so that the next batch of as many rows fits as well.
        return Shape(n_rows, ROW_TOKENS, rounded_up(n_targets + n_targets // 8)), rows, n_targets

    def _capture(self, shape: Shape) -> _Captured:
        device = self.model.device
        tokens = torch.zeros(6, shape.rows, shape.length, dtype=torch.long, device=device)
        asked = torch.zeros(2, shape.targets, dtype=torch.long, device=device)
        gradient = torch.zeros(shape.targets, device=device)
        with _layers_compiled(self.model, self._compiled):
            # Libraries allocate and choose kernels at first use, which can't be captured.
            stream = torch.cuda.Stream(device)
            stream.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(stream):
                for _ in range(2):
                    self.gradients(self._nll(tokens, asked), gradient)
            torch.cuda.current_stream(device).wait_stream(stream)
            if self._pool is None:
                self._pool = torch.cuda.graph_pool_handle()
            forward, backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
            with torch.cuda.graph(forward, pool=self._pool):
                nll = self._nll(tokens, asked)
            with torch.cuda.graph(backward, pool=self._pool):
                gradients = self.gradients(nll, gradient)
        captured = _Captured(tokens, asked, gradient, nll.detach(), gradients, forward, backward)
        self._captured[shape] = captured
        return captured

    def _nll(self, tokens: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
        paths = Paths(*tokens[1:])
        with torch.enable_grad(), self.precision():
            logits = self.model.forward(tokens[0], paths, paths, asked[0]).logits
            return F.cross_entropy(logits.float(), asked[1], reduction="none")


def _inputs(
    trees: Sequence[PromptTree], rows: Sequence[int], shape: Shape
) -> tuple[torch.Tensor, torch.Tensor]:
    laid = lay_out(trees, rows, (shape.rows, shape.length))
    target = np.concatenate([tree.target for tree in trees])
    is_asked = target != NO_TARGET
    asked = np.zeros((2, shape.targets), dtype=np.int64)
    n_targets = int(is_asked.sum())
    asked[0, :n_targets] = laid.row[is_asked] * shape.length + laid.column[is_asked]
    asked[1, :n_targets] = target[is_asked]
    tokens = torch.from_numpy(np.stack([laid.ids, *laid.paths]))
    return tokens.pin_memory(), torch.from_numpy(asked).pin_memory()


@contextlib.contextmanager
def _layers_compiled(model: LanguageModel, compiled: bool) -> Iterator[None]:
    """Within it the network's layers run compiled; they share one piece of code, compiled once."""
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
