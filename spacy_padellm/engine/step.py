"""The input and the output of one forward pass over rows of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from ..prompts.tree import Paths
from ..tokenization.arrays import Ints

# Row, token ids and paths of neighbouring tokens.
Run = tuple[int, Sequence[int] | Ints, Paths]


@dataclass(frozen=True)
class StepInput:
    """The new tokens of one forward pass, arrays of shape [n]; ancestors before descendants.

    row (Ints): Row of each token.
    token_ids (Ints): Token ids.
    paths (Paths): Paths of the tokens.
    logits_indices (Ints): Indices of the tokens whose next-token logits are returned.
    partial_indices (Ints | None): Indices of the tokens for which only the logits of
        `partial_token_ids` are returned, where the rows support it.
    partial_token_ids (Ints | None): Tokens of the vocabulary.
    """

    row: Ints
    token_ids: Ints
    paths: Paths
    logits_indices: Ints
    partial_indices: Ints | None = None
    partial_token_ids: Ints | None = None

    @classmethod
    def of_runs(
        cls,
        runs: Sequence[Run],
        logits_indices: Sequence[int] | Ints | None = None,
        partial_indices: Ints | None = None,
        partial_token_ids: Ints | None = None,
    ) -> StepInput:
        """Join runs of neighbouring tokens.

        runs (Sequence[Run]): At least one run.
        logits_indices (Sequence[int] | Ints | None): Indices into the joined tokens; None for the
            last token of each run.
        partial_indices, partial_token_ids (Ints | None): As of StepInput.
        RETURNS (StepInput): All tokens of the runs.
        """
        lengths = np.array([len(ids) for _, ids, _ in runs])
        row = np.repeat([row for row, _, _ in runs], lengths)
        token_ids = np.concatenate([np.asarray(ids, dtype=np.int64) for _, ids, _ in runs])
        columns = zip(*(paths for _, _, paths in runs), strict=True)
        paths = Paths(*(np.concatenate(column) for column in columns))
        if logits_indices is None:
            logits_indices = np.cumsum(lengths) - 1
        indices = np.asarray(logits_indices, dtype=np.int64)
        return cls(row, token_ids, paths, indices, partial_indices, partial_token_ids)


class StepOutput(NamedTuple):
    """The logits of one forward pass. A replayed pass of the same shape overwrites them.

    logits (torch.Tensor): Next-token logits, in the network's dtype [logits_indices, vocabulary].
    logsumexp (torch.Tensor | None): Natural log of the sum of exponentials of each row of the
        logits, float32 [logits_indices]; None where the pass has not computed it.
    partial_logits (torch.Tensor | None): Logits of few tokens, float32 [partial_indices,
        partial_token_ids]; None where none were requested.
    """

    logits: torch.Tensor
    logsumexp: torch.Tensor | None = None
    partial_logits: torch.Tensor | None = None

    def copy_(self, other: StepOutput) -> None:
        """Overwrite these tensors with those of another pass of the same shape."""
        for target, source in zip(self, other, strict=True):
            if target is not None and source is not None:
                target.copy_(source)

    def without_padding(self, n_logits: int, n_partial: int, n_token_ids: int) -> StepOutput:
        """RETURNS (StepOutput): The first rows (and columns of partial logits)."""
        partial = self.partial_logits
        return StepOutput(
            self.logits[:n_logits],
            None if self.logsumexp is None else self.logsumexp[:n_logits],
            None if partial is None else partial[:n_partial, :n_token_ids],
        )
