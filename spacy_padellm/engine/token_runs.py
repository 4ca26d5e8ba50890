"""Runs of neighbouring tokens of many branches, as arrays: the new tokens of a decode step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..prompts.tree import ABSENT, Paths
from ..tokenization.arrays import Ints
from .step import StepInput


class TokenRuns:
    """One run of tokens per branch: generated tokens, then draft tokens.

    Logits are computed after the last generated token and after each draft token.

    row, tree, label, mention (Ints): Row and path of each run [runs].
    position (Ints): Position of its first token [runs].
    generated (Ints): Generated tokens, at least one; ABSENT after the last [runs, tokens].
    drafts (Ints | None): Draft tokens; ABSENT after the last [runs, steps].

    n_generated (Ints): Number of generated tokens of each run [runs].
    """

    def __init__(
        self,
        row: Ints,
        tree: Ints,
        label: Ints,
        mention: Ints,
        position: Ints,
        generated: Ints,
        drafts: Ints | None = None,
    ):
        self.row, self.position = row, position
        self._branch = (tree, label, mention)
        drafts = np.zeros((len(row), 0), dtype=np.int64) if drafts is None else drafts
        self._table = np.concatenate([generated, drafts], axis=1)
        self._present = self._table != ABSENT
        self.n_generated = (generated != ABSENT).sum(1)
        self._n_logits = 1 + (drafts != ABSENT).sum(1)
        self._steps = 1 + drafts.shape[1]
        self._run, _ = np.nonzero(self._present)
        lengths = self._present.sum(1)
        self._offset = np.arange(len(self._run)) - np.repeat(np.cumsum(lengths) - lengths, lengths)

    def step_input(self) -> StepInput:
        """RETURNS (StepInput): The tokens of all runs, joined."""
        position = self.position[self._run] + self._offset
        tree, label, mention = (part[self._run] for part in self._branch)
        paths = Paths(tree, label, mention, position, position)
        indices = np.flatnonzero(self._offset >= self.n_generated[self._run] - 1)
        return StepInput(self.row[self._run], self._table[self._present], paths, indices)

    def logits_rows(self, first: int) -> Ints:
        """Find the rows of the logits that belong to each run.

        first (int): Rows of logits before those of these runs.
        RETURNS (Ints): Rows of the logits; ABSENT after the last draft [runs, 1 + steps].
        """
        steps = np.arange(self._steps)
        start = first + np.cumsum(self._n_logits) - self._n_logits
        return np.where(steps < self._n_logits[:, None], start[:, None] + steps, ABSENT)

    def rejected(self, n_accepted: Ints) -> NDArray[np.bool_]:
        """Find the tokens after the accepted ones.

        n_accepted (Ints): Accepted tokens of each run, from its first [runs].
        RETURNS (NDArray[np.bool_]): Whether each of the joined tokens comes after them [tokens].
        """
        return self._offset >= n_accepted[self._run]


def join_runs(groups: Sequence[TokenRuns]) -> tuple[StepInput, list[Ints]]:
    """Join groups of runs.

    groups (Sequence[TokenRuns]): At least one group.
    RETURNS (tuple[StepInput, list[Ints]]): All of their tokens, and each group's rows of the
        logits.
    """
    parts = [group.step_input() for group in groups]
    rows, indices = [], []
    n_tokens = n_logits = 0
    for group, part in zip(groups, parts, strict=True):
        rows.append(group.logits_rows(n_logits))
        indices.append(n_tokens + part.logits_indices)
        n_tokens += len(part.row)
        n_logits += len(part.logits_indices)
    joined = StepInput(
        np.concatenate([part.row for part in parts]),
        np.concatenate([part.token_ids for part in parts]),
        Paths(*map(np.concatenate, zip(*(part.paths for part in parts), strict=True))),
        np.concatenate(indices),
    )
    return joined, rows
