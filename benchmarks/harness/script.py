"""The gold next token at each position of the prompts of some documents."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spacy_padellm.prompts.tree import COUNT, NO_TARGET, TRUNK, Paths, PromptTree
from spacy_padellm.tokenization.arrays import Ints

POSITION_BITS, MENTION_BITS, LABEL_BITS = 20, 10, 10
TREE_SHIFT = POSITION_BITS + MENTION_BITS + LABEL_BITS


@dataclass(frozen=True)
class _Table:
    """Gold next tokens of one tree: path codes, ascending [n], and token ids [n]."""

    codes: Ints
    tokens: Ints


class Script:
    """Gold next tokens, looked up by document and path (label, mention, position).

    The document is known by the trunk of its tree, which is prefilled first; a mention prompt that
    is alone in its row, all of it trunk (the replicated decoder), by its token ids.

    trees (Sequence[PromptTree]): Gold trees of a decoder (`Decoder.gold_trees`).
    """

    def __init__(self, trees: Sequence[PromptTree]):
        self._tables: dict[bytes, _Table] = {}
        for tree in trees:
            key = tree.ids[tree.label == TRUNK].tobytes()
            self._tables[key] = _table(tree.label, tree.mention, tree.position, tree.target)
            for label, mention in tree.branches():
                if mention != COUNT:
                    prompt = tree.prompt(label, mention)
                    head = int(np.flatnonzero(prompt.target != NO_TARGET)[0]) + 1
                    trunk = np.zeros_like(prompt.ids)
                    self._tables[prompt.ids[:head].tobytes()] = _table(
                        trunk, trunk, prompt.position, prompt.target
                    )
        self._current: dict[int, _Table] = {}
        self._codes = self._tokens = np.zeros(0, dtype=np.int64)

    def next_tokens(self, ids: Ints, query: Paths, indices: Ints) -> tuple[Ints, Ints]:
        """Look up the gold next tokens of a pass under the mask rule.

        ids (Ints): Token ids of the pass [tokens].
        query (Paths): Their paths, arrays of shape [tokens].
        indices (Ints): Indices of the tokens whose next tokens are looked up [n].
        RETURNS (tuple[Ints, Ints]): Of those that have a gold next token, their indices into
            `indices`, and the next token ids.
        """
        if ((query.position == 0) & (query.label == TRUNK) & (query.tree >= 0)).any():
            self._read_trunks(ids, query)
        tree, label, mention, position = (part.ravel()[indices] for part in query[:4])
        codes = (tree << TREE_SHIFT) | _codes(label, mention, position)
        if not len(self._codes):
            return codes[:0], codes[:0]
        at = np.searchsorted(self._codes, codes).clip(max=len(self._codes) - 1)
        known = np.flatnonzero(self._codes[at] == codes)
        return known, self._tokens[at[known]]

    def _read_trunks(self, ids: Ints, query: Paths) -> None:
        """Find the documents of a batch's trees. A batch starts with its tree 0."""
        at = np.flatnonzero((query.label.ravel() == TRUNK) & (query.tree.ravel() >= 0))
        trees = query.tree.ravel()[at]
        order = np.argsort(trees, kind="stable")
        numbers, first = np.unique(trees[order], return_index=True)
        if numbers[0] == 0:
            self._current.clear()
        trunks = np.split(ids.ravel()[at[order]], first[1:])
        for number, trunk in zip(numbers.tolist(), trunks, strict=True):
            if (table := self._tables.get(trunk.tobytes())) is not None:
                self._current[number] = table
        if self._current:
            tables = sorted(self._current.items())
            self._codes = np.concatenate([(n << TREE_SHIFT) | table.codes for n, table in tables])
            self._tokens = np.concatenate([table.tokens for _, table in tables])


def _codes(label: Ints, mention: Ints, position: Ints) -> Ints:
    return ((label << MENTION_BITS | mention) << POSITION_BITS) | position


def _table(label: Ints, mention: Ints, position: Ints, target: Ints) -> _Table:
    at = np.flatnonzero(target != NO_TARGET)
    codes = _codes(label[at], mention[at], position[at])
    order = np.argsort(codes)
    return _Table(codes[order], target[at][order])
