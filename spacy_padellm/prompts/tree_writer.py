"""Writes one prompt tree, branch by branch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .tree import COUNT, NO_TARGET, TRUNK, PromptTree, TreeShape


class TreeWriter:
    """Collects the tokens of one tree, the trunk first.

    n_trunk (int): Number of tokens of the trunk.
    """

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._position: list[int] = []
        self._label: list[int] = []
        self._mention: list[int] = []
        self._target: list[int] = []
        self._horizon: list[int] = []
        self.n_trunk = 0

    def extend_trunk(
        self, ids: Sequence[int], target: Sequence[int] | None = None, *, both_ways: bool = False
    ) -> None:
        """Append tokens to the trunk.

        ids (Sequence[int]): Token ids.
        target (Sequence[int] | None): Target of each token; None for no targets.
        both_ways (bool): Whether these tokens attend to one another in both directions.
        """
        start, self.n_trunk = self.n_trunk, self.n_trunk + len(ids)
        self._append(TRUNK, COUNT, start, ids, target or [NO_TARGET] * len(ids))
        if both_ways:
            self._horizon[start:] = [self.n_trunk - 1] * len(ids)

    def append_branch(
        self,
        label: int,
        mention: int,
        start: int,
        head: Sequence[int],
        answer: Sequence[int] = (),
        end: int | None = None,
    ) -> None:
        """Append a branch.

        label, mention (int): Label path and mention path of the branch.
        start (int): Position id of the first token.
        head (Sequence[int]): Token ids of the branch's question.
        answer (Sequence[int]): Token ids of the answer.
        end (int | None): Token id after the answer: answer and end are the targets. None for a
            branch without targets.
        """
        ids = [*head, *answer]
        target = [NO_TARGET] * len(ids)
        if end is not None:
            target[len(head) - 1 :] = [*answer, end]
        self._append(label, mention, start, ids, target)

    def tree(self, labels: tuple[str, ...]) -> PromptTree:
        """RETURNS (PromptTree): The tree of the tokens appended so far."""
        columns = (self._position, self._label, self._mention, self._horizon)
        shape = TreeShape(labels, *(np.array(column, dtype=np.int64) for column in columns))
        ids, target = (np.array(column, dtype=np.int64) for column in (self._ids, self._target))
        return PromptTree(shape, ids, target)

    def _append(
        self, label: int, mention: int, start: int, ids: Sequence[int], target: Sequence[int]
    ) -> None:
        positions = range(start, start + len(ids))
        self._ids += ids
        self._position += positions
        self._label += [label] * len(ids)
        self._mention += [mention] * len(ids)
        self._target += target
        self._horizon += positions
