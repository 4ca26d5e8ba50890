"""One prompt tree, written piece by piece."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .tree import COUNT, NO_TARGET, TRUNK, PromptTree, TreeShape


class TreeWriter:
    """Writes one tree, its trunk first."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._position: list[int] = []
        self._label: list[int] = []
        self._mention: list[int] = []
        self._target: list[int] = []
        self._horizon: list[int] = []
        self.trunk = 0

    def trunk_piece(
        self, ids: Sequence[int], target: Sequence[int] | None = None, *, both_ways: bool = False
    ) -> None:
        """Add tokens to the trunk.

        ids (Sequence[int]): Their ids.
        target (Sequence[int] | None): Their targets.
        both_ways (bool): Whether they see one another in both directions.
        """
        start, self.trunk = self.trunk, self.trunk + len(ids)
        self._add(TRUNK, COUNT, start, ids, target or [NO_TARGET] * len(ids))
        if both_ways:
            self._horizon[start:] = [self.trunk - 1] * len(ids)

    def branch(
        self,
        label: int,
        mention: int,
        start: int,
        head: Sequence[int],
        answer: Sequence[int] = (),
        end: int | None = None,
    ) -> None:
        """Add a branch; with an end, its answer is what must be said."""
        ids = [*head, *answer]
        target = [NO_TARGET] * len(ids)
        if end is not None:
            target[len(head) - 1 :] = [*answer, end]
        self._add(label, mention, start, ids, target)

    def tree(self, labels: tuple[str, ...]) -> PromptTree:
        """RETURNS (PromptTree): The tree of the tokens added so far."""
        columns = (self._position, self._label, self._mention, self._horizon)
        shape = TreeShape(labels, *(np.array(column, dtype=np.int64) for column in columns))
        ids, target = (np.array(column, dtype=np.int64) for column in (self._ids, self._target))
        return PromptTree(shape, ids, target)

    def _add(
        self, label: int, mention: int, start: int, ids: Sequence[int], target: Sequence[int]
    ) -> None:
        positions = range(start, start + len(ids))
        self._ids += ids
        self._position += positions
        self._label += [label] * len(ids)
        self._mention += [mention] * len(ids)
        self._target += target
        self._horizon += positions
