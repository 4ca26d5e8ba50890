"""Random prompt trees for hypothesis, with the parent of each token."""

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from spacy_padellm.prompts.tree import COUNT, NO_TARGET, TRUNK, PromptTree, TreeShape


def branch_end(tree: PromptTree, label: int, mention: int = COUNT) -> int:
    """RETURNS (int): Index of a branch's last token."""
    return int(np.flatnonzero((tree.label == label) & (tree.mention == mention))[-1])


class GrownTree(NamedTuple):
    """A tree and what it was grown from.

    tree (PromptTree): The tree; its ids are drawn, its targets too.
    parent (list[int]): Index of the token before each one on its path, -1 for the first.
    both_ways (range): Tokens of the trunk that see one another in both directions.
    """

    tree: PromptTree
    parent: list[int]
    both_ways: range = range(0)

    def ancestry(self, token: int) -> list[int]:
        """RETURNS (list[int]): The token and all before it on its path, from the first one on."""
        path = []
        while token != -1:
            path.append(token)
            token = self.parent[token]
        if path and path[0] in self.both_ways:
            return sorted({*path, *self.both_ways})
        return path[::-1]


def grow(
    shape: list[tuple[int, list[int]]], trunk: int, ids: list[int], both_ways: range = range(0)
) -> GrownTree:
    """Grow a tree.

    shape (list[tuple[int, list[int]]]): For each label the length of its count branch and of each
        of its mention branches.
    trunk (int): Length of the trunk.
    ids (list[int]): Drawn from in a circle.
    both_ways (range): Tokens of the trunk that see one another in both directions.
    RETURNS (GrownTree): Every branch's last token and the trunk's none have a target.
    """
    rows: list[tuple[int, int, int]] = []  # label, mention, parent
    targets: list[int] = []

    def branch(label: int, mention: int, parent: int, length: int) -> int:
        for _ in range(length):
            rows.append((label, mention, parent))
            targets.append(NO_TARGET)
            parent = len(rows) - 1
        if label != TRUNK:
            targets[-1] = ids[len(rows) % len(ids)]
        return parent

    root = branch(TRUNK, COUNT, -1, trunk)
    for label, (count, mentions) in enumerate(shape, 1):
        number = branch(label, COUNT, root, count)
        for mention, length in enumerate(mentions, 1):
            branch(label, mention, number, length)
    label, mention, parent = (np.array(column, dtype=np.int64) for column in zip(*rows))
    position = np.zeros(len(rows), dtype=np.int64)
    for token, before in enumerate(parent):
        position[token] = 0 if before == -1 else position[before] + 1
    drawn = np.array([ids[i % len(ids)] for i in range(len(rows))], dtype=np.int64)
    names = tuple(f"label {n}" for n in range(1, len(shape) + 1))
    horizon = position.copy()
    horizon[both_ways.start : both_ways.stop] = both_ways.stop - 1
    target = np.array(targets, dtype=np.int64)
    tree = PromptTree(TreeShape(names, position, label, mention, horizon), drawn, target)
    return GrownTree(tree, parent.tolist(), both_ways)


@st.composite
def grown_trees(
    draw: st.DrawFn, vocabulary: int = 50, longest: int = 5, causal: bool = False
) -> GrownTree:
    """RETURNS (GrownTree): A tree of up to 4 labels with up to 3 mentions each."""
    length = st.integers(1, longest)
    mentions = st.lists(length, max_size=3)
    shape = draw(st.lists(st.tuples(length, mentions), min_size=1, max_size=4))
    ids = draw(st.lists(st.integers(0, vocabulary - 1), min_size=1, max_size=40))
    trunk = draw(st.integers(1, 2 * longest))
    start, stop = sorted(draw(st.tuples(*[st.integers(0, trunk)] * 2)))
    return grow(shape, trunk, ids, range(0) if causal else range(start, stop))
