"""Rows of prompts behind a KV cache; a row may hold several trees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..prompts.tree import PADDING
from ..tokenization.arrays import Ints
from .kv_cache import PAD_SLOT
from .kv_rows import N_INPUTS, Forward, KVRows
from .partial_logits import PartialRequest
from .step import StepInput, StepOutput
from .step_graphs import PassInput, StepGraphs
from .transfer import on_device


class CachedRows:
    """Rows behind a KV cache.

    forward (Forward): The network's forward pass.
    device (torch.device): The network's device.
    n_rows (int): Rows of the batch.
    capacity (int): Expected number of tokens per row; rows may grow past it.
    graphs (StepGraphs | None): Captures and replays the passes; None runs each as it is.
    """

    def __init__(
        self,
        forward: Forward,
        device: torch.device,
        n_rows: int,
        capacity: int,
        graphs: StepGraphs | None = None,
    ):
        self._forward = forward
        self._device = device
        self._graphs = graphs
        self._used = np.ones(n_rows, dtype=np.int64)
        self._kv = self._empty_rows(n_rows, capacity + 1)
        self._last: tuple[Ints, Ints] = (self._used[:0], self._used[:0])

    def forward(self, step: StepInput) -> StepOutput:
        """Append tokens to their rows and run one pass.

        step (StepInput): The tokens.
        RETURNS (StepOutput): Logits in the network's dtype; with graphs the next pass may overwrite
            them.
        """
        counts = np.bincount(step.row, minlength=len(self._used))
        order = np.argsort(step.row, kind="stable")
        first = np.cumsum(counts) - counts
        column = np.empty(len(step.row), dtype=np.int64)
        column[order] = np.arange(len(order)) - np.repeat(first, counts)
        slots = self._used[step.row] + column
        inputs = np.zeros((N_INPUTS, len(self._used), int(counts.max())), dtype=np.int64)
        inputs[1], inputs[6] = PADDING, PAD_SLOT
        for part, values in zip(inputs, (step.token_ids, *step.paths, slots), strict=True):
            part[step.row, column] = values
        flat = step.row * inputs.shape[2] + column
        none = flat[:0]
        given = PassInput(
            inputs,
            flat[step.logits_indices],
            none if step.partial_indices is None else flat[step.partial_indices],
            none if step.partial_token_ids is None else step.partial_token_ids,
        )
        self._last = step.row, slots
        self._used += counts
        used = int(self._used.max())
        with torch.inference_mode():
            if used > self._kv.shape[1]:
                self._move(np.arange(len(self._used)), 2 * self._kv.shape[1])
            if self._graphs is not None:
                return self._graphs.run(self._forward, self._kv, given, used)
            return self._run(given, used)

    def mask_slots(self, tokens: Ints) -> None:
        """Exclude tokens of the last pass from the attention of later ones.

        tokens (Ints): Their indices in that pass's StepInput.
        """
        if len(tokens):
            row, slot = self._tensor(np.stack([part[tokens] for part in self._last]))
            with torch.inference_mode():
                self._kv.mask_slots(row, slot)

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all but the given rows, which are renumbered in the order given."""
        with torch.inference_mode():
            self._move(np.asarray(rows, dtype=np.int64), self._kv.shape[1])
        self._used = self._used[np.asarray(rows, dtype=np.int64)]

    def _run(self, given: PassInput, used: int) -> StepOutput:
        partial = None
        if len(given.partial_indices):
            partial = PartialRequest(*map(self._tensor, given[2:]))
        inputs, indices = map(self._tensor, given[:2])
        return self._kv.run(self._forward, inputs, indices, used, partial)

    def _move(self, rows: Ints, capacity: int) -> None:
        kv, used = self._kv, min(int(self._used.max()), self._kv.shape[1])
        if self._graphs is not None:
            # Captured rows of the same shape are these very ones: copy them aside first.
            aside = KVRows(self._device, len(rows), used)
            kv.move(aside, self._tensor(rows), used)
            kv, rows = aside, np.arange(len(rows))
        self._kv = self._empty_rows(len(rows), max(capacity, int(self._used.max())))
        kv.move(self._kv, self._tensor(rows), used)

    def _empty_rows(self, n_rows: int, capacity: int) -> KVRows:
        with torch.inference_mode():
            if self._graphs is not None:
                return self._graphs.empty_rows(self._device, n_rows, capacity)
            return KVRows(self._device, n_rows, capacity)

    def _tensor(self, values: Ints) -> torch.Tensor:
        return on_device(values, self._device)
