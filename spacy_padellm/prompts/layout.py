"""Prompt trees packed into rows of equal length, for one forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapreplace

import numpy as np

from ..tokenization.arrays import Ints
from .tree import PADDING, Paths, PromptTree


@dataclass(frozen=True)
class TokenRows:
    """Trees in rows of equal length, padded at the end, for one forward pass.

    ids (Ints): Token ids, shape [rows, length]; padding is 0.
    paths (Paths): Each part of shape [rows, length]; padding has tree PADDING and zeros.
    row, column (Ints): Row and column of token i of the concatenated trees, each of shape [tokens].
    """

    ids: Ints
    paths: Paths
    row: Ints
    column: Ints


def pack(sizes: Sequence[int], row_tokens: int) -> list[int]:
    """Distribute trees evenly over the fewest rows of `row_tokens` tokens, longest first.

    sizes (Sequence[int]): Tokens of each tree.
    row_tokens (int): Maximum number of tokens of a row; a longer tree makes longer rows.
    RETURNS (list[int]): Row of each tree, from 0.
    """
    if not sizes:
        return []
    limit = max(row_tokens, max(sizes))
    n_rows = -(-sum(sizes) // limit)
    order = sorted(range(len(sizes)), key=lambda i: -sizes[i])
    while True:
        loads = [(0, row) for row in range(n_rows)]  # a heap: the emptiest row first
        rows = [0] * len(sizes)
        for i in order:
            load, rows[i] = loads[0]
            heapreplace(loads, (load + sizes[i], rows[i]))
        if max(loads)[0] <= limit:
            return rows
        n_rows += 1


def lay_out(
    trees: Sequence[PromptTree], rows: Sequence[int], shape: tuple[int, int] | None = None
) -> TokenRows:
    """Arrange trees in rows of equal length.

    trees (Sequence[PromptTree]): At least one tree.
    rows (Sequence[int]): Row of each tree, as `pack` returns it.
    shape (tuple[int, int] | None): Number of rows and their length, at least as large as the trees
        need; None for the smallest.
    RETURNS (TokenRows): Ids and paths, padded.
    """
    used = [0] * (max(rows) + 1)
    row = np.repeat(np.asarray(rows), [len(tree) for tree in trees])
    columns = []
    for tree, tree_row in zip(trees, rows, strict=True):
        columns.append(np.arange(used[tree_row], used[tree_row] + len(tree)))
        used[tree_row] += len(tree)
    column = np.concatenate(columns)
    shape = shape or (len(used), max(used))

    def fill(parts: list[Ints], padding: int = 0) -> Ints:
        out = np.full(shape, padding, dtype=np.int64)
        out[row, column] = np.concatenate(parts)
        return out

    paths = Paths(
        fill([np.full(len(tree), i) for i, tree in enumerate(trees)], PADDING),
        fill([tree.label for tree in trees]),
        fill([tree.mention for tree in trees]),
        fill([tree.position for tree in trees]),
        fill([tree.horizon for tree in trees]),
    )
    return TokenRows(fill([tree.ids for tree in trees]), paths, row, column)
