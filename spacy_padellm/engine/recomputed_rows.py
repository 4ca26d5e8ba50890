"""Rows of one prompt each, recomputed at each pass: for networks that do not support the tree
mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..tokenization.arrays import Ints
from .language_model import LanguageModel
from .step import StepInput, StepOutput


class RecomputedRows:
    """Rows of one prompt each, without a KV cache. Padding stands behind a prompt's tokens, so that
    causal networks of any kind (ALiBi, recurrent) never attend to it.

    model (LanguageModel): The model.
    n_rows (int): Rows of the batch.
    """

    def __init__(self, model: LanguageModel, n_rows: int):
        self._model = model
        self._ids: list[list[int]] = [[] for _ in range(n_rows)]

    def forward(self, step: StepInput) -> StepOutput:
        """RETURNS (StepOutput): Logits in the network's dtype; no partial logits."""
        ends = np.empty(len(step.row), dtype=np.int64)
        for i, (row, token) in enumerate(zip(step.row, step.token_ids, strict=True)):
            self._ids[row].append(int(token))
            ends[i] = len(self._ids[row]) - 1
        rows, sequence = np.unique(step.row[step.logits_indices], return_inverse=True)
        sequences = [self._ids[row] for row in rows]
        with torch.inference_mode():
            logits = self._model.sequence_logits(sequences, sequence, ends[step.logits_indices])
        return StepOutput(logits)

    def mask_slots(self, tokens: Ints) -> None:
        """RAISES (ValueError): Tokens to mask: all tokens of a row belong to its one prompt."""
        if len(tokens):
            raise ValueError(f"{len(tokens)} tokens to mask, but each row holds one prompt.")

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all but the given rows, which are renumbered in the order given."""
        self._ids = [self._ids[row] for row in rows]
