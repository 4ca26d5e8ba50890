"""The prompt tree: all prompts of a document in one row of tokens, and its attention mask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ..tokenization.arrays import Ints

NO_TARGET = -1
ABSENT = -1  # in tables of token ids or of logits' indices: after the end of a row
TRUNK = 0  # label path of the trunk; labels count from 1
COUNT = 0  # mention path of the trunk and of count branches; mentions count from 1
PADDING = -1  # tree number of padding tokens, which attend to one another only
UNUSED = -2  # tree number of empty KV slots


class Paths(NamedTuple):
    """Tree, path and positions of tokens: integer arrays or tensors of one shape [..., n].

    tree: Number of the tree in its batch; PADDING or UNUSED for tokens of no tree.
    label: Label path, from 1; TRUNK before the branches.
    mention: Mention path, from 1; COUNT in the trunk and in count branches.
    position: Position id, as in the token's prompt alone.
    horizon: The last position of its path that the token attends to: its own, or the end of the
        text for a token of a text with attention in both directions.
    """

    tree: Any
    label: Any
    mention: Any
    position: Any
    horizon: Any


def visible(query: Paths, key: Paths) -> Any:
    """The attention mask: a token attends to earlier tokens of its branch and to its ancestors.

    Positions ascend along each path, so "earlier on the path" is "on the path, at no higher
    position", whatever the order of the tokens in memory. The tokens of a text with attention in
    both directions have the text's end as their horizon.

    query (Paths): Paths of the queries [..., Q].
    key (Paths): Paths of the keys [..., K].
    RETURNS: Booleans, True where the query attends to the key [..., Q, K].
    """
    q = Paths(*(part[..., :, None] for part in query))
    k = Paths(*(part[..., None, :] for part in key))
    same_label = (k.label == q.label) & ((k.mention == COUNT) | (k.mention == q.mention))
    on_path = (k.label == TRUNK) | same_label
    return (k.tree == q.tree) & (k.position <= q.horizon) & on_path


@dataclass(frozen=True)
class TreeShape:
    """Positions and paths of the n tokens of a tree; ancestors come before descendants.

    Question trees with the same labels and the same number of text tokens share one shape.

    labels (tuple[str, ...]): Labels of the prompts; label path c is `labels[c - 1]`.
    position (Ints): Position ids [n].
    label (Ints): Label path of each token [n].
    mention (Ints): Mention path of each token [n].
    horizon (Ints): Last position of its path that each token attends to [n].
    """

    labels: tuple[str, ...]
    position: Ints
    label: Ints
    mention: Ints
    horizon: Ints

    def __len__(self) -> int:
        return len(self.position)

    @cached_property
    def n_trunk(self) -> int:
        """RETURNS (int): Number of tokens of the trunk."""
        return int((self.label == TRUNK).sum())

    @cached_property
    def branches(self) -> list[tuple[int, int]]:
        """RETURNS (list[tuple[int, int]]): (label path, mention path) of each branch, in order."""
        paths = zip(self.label.tolist(), self.mention.tolist(), strict=True)
        return [path for path in dict.fromkeys(paths) if path[0] != TRUNK]

    def select(self, indices: Ints) -> TreeShape:
        """RETURNS (TreeShape): The shape of these tokens alone, with the same labels."""
        columns = (self.position, self.label, self.mention, self.horizon)
        return TreeShape(self.labels, *(column[indices] for column in columns))


@dataclass(frozen=True)
class PromptTree:
    """All prompts of one document as one row of n tokens.

    shape (TreeShape): Labels, positions and paths of the tokens.
    ids (Ints): Token ids [n].
    target (Ints): The token that must follow in training, NO_TARGET where there is none [n].
    """

    shape: TreeShape
    ids: Ints
    target: Ints

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def labels(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): Labels of the prompts; label path c is `labels[c - 1]`."""
        return self.shape.labels

    @property
    def position(self) -> Ints:
        """RETURNS (Ints): Position ids [n]."""
        return self.shape.position

    @property
    def label(self) -> Ints:
        """RETURNS (Ints): Label path of each token [n]."""
        return self.shape.label

    @property
    def mention(self) -> Ints:
        """RETURNS (Ints): Mention path of each token [n]."""
        return self.shape.mention

    @property
    def horizon(self) -> Ints:
        """RETURNS (Ints): Last position of its path that each token attends to [n]."""
        return self.shape.horizon

    @property
    def n_trunk(self) -> int:
        """RETURNS (int): Number of tokens of the trunk."""
        return self.shape.n_trunk

    @property
    def n_targets(self) -> int:
        """RETURNS (int): Number of tokens with a target."""
        return int((self.target != NO_TARGET).sum())

    def paths(self, tree: int) -> Paths:
        """RETURNS (Paths): The tokens' paths, under the given number of this tree."""
        return Paths(
            np.full(len(self), tree), self.label, self.mention, self.position, self.horizon
        )

    def branches(self) -> list[tuple[int, int]]:
        """RETURNS (list[tuple[int, int]]): (label path, mention path) of each branch, in order."""
        return self.shape.branches

    def path(self, label: int, mention: int = COUNT) -> Ints:
        """Indices of the tokens of one prompt, from the trunk's first token to the branch's last.

        RETURNS (Ints): Indices into the tree's arrays [length of the path].
        """
        in_branch = (self.mention == COUNT) | (self.mention == mention)
        return np.flatnonzero((self.label == TRUNK) | ((self.label == label) & in_branch))

    def prompt(self, label: int, mention: int = COUNT) -> PromptTree:
        """One prompt of this tree as a tree with one branch: the sequence of the paper.

        The targets of the branch's ancestors are not targets of this prompt.

        RETURNS (PromptTree): A tree of one branch, with this tree's labels.
        """
        indices = self.path(label, mention)
        shape = self.shape.select(indices)
        in_branch = (shape.label == label) & (shape.mention == mention)
        target = np.where(in_branch, self.target[indices], NO_TARGET)
        return PromptTree(shape, self.ids[indices], target)

    def prompts(self) -> Iterator[PromptTree]:
        """YIELDS (PromptTree): Each branch as a tree with one branch, in the tree's order.

        A trunk with targets comes first, alone.
        """
        if (self.target[self.label == TRUNK] != NO_TARGET).any():
            yield self.prompt(TRUNK)
        for label, mention in self.branches():
            yield self.prompt(label, mention)
