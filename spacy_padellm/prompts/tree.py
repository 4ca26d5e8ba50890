"""The prompt tree: every prompt of a document in one row, and the rule of who sees whom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ..tokenization.arrays import Ints

NO_TARGET = -1
ABSENT = -1  # in tables of tokens, or of rows of logits: behind the end of a line
TRUNK = 0  # label path of the trunk; labels count from 1
COUNT = 0  # mention path of the trunk and of count branches; mentions count from 1
PADDING = -1  # tree number of padding tokens; they see one another and nobody sees them
UNUSED = -2  # tree number of slots that hold nothing


class Paths(NamedTuple):
    """Where tokens stand: arrays or tensors of one shape [..., n], integers.

    tree: Number of the tree in its batch (PADDING, UNUSED where there is none).
    label: Label path, from 1; TRUNK before the branches.
    mention: Mention path, from 1; COUNT in the trunk and in count branches.
    position: Position id, as if the token's own prompt stood alone.
    horizon: The last position of its path that the token sees: its own, or the end of the text for
        a token of a text that is seen both ways.
    """

    tree: Any
    label: Any
    mention: Any
    position: Any
    horizon: Any


def visible(query: Paths, key: Paths) -> Any:
    """The mask rule: a token sees its own branch's earlier tokens and its ancestors.

    Positions rise along each path, so "earlier on my path" is "on my path, at no higher
    position", whatever the order of the tokens in memory. Where the text is seen both ways, its
    tokens have the text's end for their horizon.

    query (Paths): Paths of the tokens that look, shape [..., Q].
    key (Paths): Paths of the tokens that are looked at, shape [..., K].
    RETURNS: Booleans, shape [..., Q, K].
    """
    q = Paths(*(part[..., :, None] for part in query))
    k = Paths(*(part[..., None, :] for part in key))
    same_label = (k.label == q.label) & ((k.mention == COUNT) | (k.mention == q.mention))
    on_path = (k.label == TRUNK) | same_label
    return (k.tree == q.tree) & (k.position <= q.horizon) & on_path


@dataclass(frozen=True)
class PromptTree:
    """All prompts of one document as one row of n tokens; ancestors come before descendants.

    labels (tuple[str, ...]): The labels asked for; label path c is `labels[c - 1]`.
    ids (Ints): Token ids, shape [n].
    position (Ints): Position ids, shape [n].
    label (Ints): Label path of each token, shape [n].
    mention (Ints): Mention path of each token, shape [n].
    target (Ints): The token that must follow in training, NO_TARGET where none is asked,
        shape [n].
    horizon (Ints): Last position of its path that each token sees, shape [n].
    """

    labels: tuple[str, ...]
    ids: Ints
    position: Ints
    label: Ints
    mention: Ints
    target: Ints
    horizon: Ints

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def n_targets(self) -> int:
        """RETURNS (int): Number of tokens with a target."""
        return int((self.target != NO_TARGET).sum())

    def paths(self, tree: int) -> Paths:
        """RETURNS (Paths): The tokens' paths, under the given number of this tree."""
        return Paths(
            np.full(len(self), tree), self.label, self.mention, self.position, self.horizon
        )

    def with_ids(self, ids: Ints) -> PromptTree:
        """A tree of the same shape that says something else.

        ids (Ints): Its token ids, shape [n].
        RETURNS (PromptTree): The tree; it shares all other arrays with this one.
        """
        tree = object.__new__(PromptTree)  # with all that is already known of the shape
        tree.__dict__.update(self.__dict__, ids=ids)
        return tree

    @cached_property
    def n_trunk(self) -> int:
        """RETURNS (int): Number of tokens of the trunk."""
        return int((self.label == TRUNK).sum())

    def branches(self) -> list[tuple[int, int]]:
        """RETURNS (list[tuple[int, int]]): (label path, mention path) of each branch, in order."""
        return [pair for pair in self._ends if pair[0] != TRUNK]

    def branch_end(self, label: int, mention: int = COUNT) -> int:
        """RETURNS (int): Index of a branch's last token."""
        return self._ends[label, mention]

    @cached_property
    def _ends(self) -> dict[tuple[int, int], int]:
        """RETURNS (dict[tuple[int, int], int]): Index of the last token by label path and mention
        path, in the order of the first ones."""
        pairs = zip(self.label.tolist(), self.mention.tolist(), strict=True)
        return {pair: i for i, pair in enumerate(pairs)}

    def path(self, label: int, mention: int = COUNT) -> Ints:
        """Indices of the tokens of one prompt, from the trunk's first token to the branch's last.

        RETURNS (Ints): Indices into the tree's arrays, shape [length of the path].
        """
        own = (self.mention == COUNT) | (self.mention == mention)
        return np.flatnonzero((self.label == TRUNK) | ((self.label == label) & own))

    def prompt(self, label: int, mention: int = COUNT) -> PromptTree:
        """One prompt of this tree as a tree of its own: the sequence that the paper feeds.

        Targets of the branch's ancestors are left to the ancestors' own prompts.

        RETURNS (PromptTree): A tree of one branch, with this tree's labels.
        """
        at = self.path(label, mention)
        own = (self.label[at] == label) & (self.mention[at] == mention)
        return PromptTree(
            self.labels,
            self.ids[at],
            self.position[at],
            self.label[at],
            self.mention[at],
            np.where(own, self.target[at], NO_TARGET),
            self.horizon[at],
        )

    def prompts(self) -> Iterator[PromptTree]:
        """YIELDS (PromptTree): Each branch as a prompt of its own, in the tree's order.

        A trunk that has targets of its own comes first, alone.
        """
        if (self.target[self.label == TRUNK] != NO_TARGET).any():
            yield self.prompt(TRUNK)
        for label, mention in self.branches():
            yield self.prompt(label, mention)
