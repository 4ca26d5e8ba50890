"""The substring constraint for few mentions, on the host: `Constraint` mention by mention.

Tensors of all mentions take a hundred operations per step, however few mentions there are, and the
GPU waits for them. One or two mentions are faster with the edges out of their nodes alone.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..prompts.tree import ABSENT
from ..tokenization.arrays import Ints
from .constraint import Selected
from .lattice import START, Lattice
from .logits import HostLogits, Logits, check_finite
from .mentions import NOTHING

Nodes = tuple[int, ...]
AT_START: Nodes = (START,)
FEW_NODES = 8  # whose edges are read one by one
NO_VALUES = np.zeros(0, dtype=np.float32)


class _Steps(NamedTuple):
    """The next tokens of a mention, as a row of Selected, and the nodes it has reached."""

    tokens: list[int]
    logprobs: list[float]
    text_logprobs: list[float]
    nodes: Nodes


class HostConstraint:
    """The nodes that mentions have reached in the lattices of their texts. It selects the same
    tokens as `Constraint`.

    documents (Sequence[Lattice]): The documents of a batch.
    end_id (int): The token that ends a mention.
    """

    def __init__(self, documents: Sequence[Lattice], end_id: int):
        self._texts = [_Text(lattice, end_id) for lattice in documents]
        self._document: list[int] = []
        self._reached: list[Nodes] = []

    def add(self, documents: Ints) -> Ints:
        """RETURNS (Ints): The numbers of new mentions, given the document of each."""
        first = len(self._document)
        self._document += documents.tolist()
        self._reached += [AT_START] * len(documents)
        return np.arange(first, len(self._document))

    def select(
        self, mentions: Ints, logits: Logits, left: Ints, rows: Ints, drafts: Ints
    ) -> Selected:
        """RETURNS (Selected): As of `Constraint.select`; logits are on the host."""
        host_logits = logits.on_host()
        n, n_steps = rows.shape
        token = np.full((n, n_steps), NOTHING)
        logprob, text_logprob = np.full((2, n, n_steps), -np.inf)
        n_selected, next_byte = np.ones((2, n), dtype=np.int64)
        inputs = zip(mentions.tolist(), left.tolist(), rows.tolist(), drafts.tolist(), strict=True)
        for i, (mention, *rest) in enumerate(inputs):
            text = self._texts[self._document[mention]]
            steps = text.select(self._reached[mention], host_logits, *rest)
            self._reached[mention] = steps.nodes
            n_selected[i] = n_tokens = len(steps.tokens)
            token[i, :n_tokens] = steps.tokens
            logprob[i, :n_tokens] = steps.logprobs
            text_logprob[i, :n_tokens] = steps.text_logprobs
            next_byte[i] = min((node for node in steps.nodes if node >= 0), default=START)
        return Selected(token, logprob, text_logprob, n_selected, next_byte)

    def start_logprobs(
        self, mentions: Ints, logits: Logits, rows: Ints
    ) -> list[NDArray[np.float64]]:
        """RETURNS (list[NDArray]): As of `Constraint.start_logprobs`.
        RAISES (NotFiniteError): None of a mention's is finite, or one is not a number."""
        host_logits = logits.on_host()
        found = []
        for mention, row in zip(mentions.tolist(), rows.tolist(), strict=True):
            token = self._texts[self._document[mention]].first_tokens
            logprobs = host_logits.gather(row, token) - host_logits.logsumexp[row]
            if len(token):
                check_finite(logprobs.max(keepdims=True))
            found.append(logprobs.astype(np.float64))
        return found

    def enter(self, mentions: Sequence[int], nodes: Sequence[Ints]) -> None:
        """Set the nodes that mentions have reached by first tokens that were chosen jointly."""
        for mention, reached in zip(mentions, nodes, strict=True):
            self._reached[mention] = tuple(dict.fromkeys(reached.tolist()))

    def ends(self, mentions: Ints) -> tuple[Ints, Ints]:
        """RETURNS (tuple[Ints, Ints]): As of `Constraint.ends`."""
        found = [
            (i, node)
            for i, mention in enumerate(mentions.tolist())
            for node in sorted(self._reached[mention])
            if self._texts[self._document[mention]].ends_at(node)
        ]
        index, byte_offset = np.array(found, dtype=np.int64).reshape(-1, 2).T
        return index, byte_offset


class _Text:
    """The edges of one document, by the node that they leave.

    first_tokens (Ints): Tokens of the edges out of START [edges out of START].
    """

    def __init__(self, lattice: Lattice, end_id: int):
        self._lattice = lattice
        self._end_id = end_id
        self.first_tokens = lattice.token[: len(lattice.start_byte)]

    def ends_at(self, node: int) -> bool:
        """RETURNS (bool): Whether a mention can end at a node."""
        return node >= 0 and bool(self._lattice.is_end[node])

    def select(
        self,
        nodes: Nodes,
        logits: HostLogits,
        left: int,
        rows: Sequence[int],
        drafts: Sequence[int],
    ) -> _Steps:
        """RETURNS (_Steps): The next tokens of a mention that has reached some nodes, `left` at
        most: one token, and one more for each accepted token of its draft."""
        tokens: list[int] = []
        logprobs: list[float] = []
        text_logprobs: list[float] = []
        for step, row in enumerate(rows):
            ends = any(map(self.ends_at, nodes))
            follow, moved = self._options(nodes, left - step)
            allowed = [self._end_id, *follow] if ends else follow
            values = logits.gather(row, allowed) if allowed else NO_VALUES
            best = int(values.argmax()) if allowed else 0
            value = float(values[best]) if allowed else -math.inf
            if value == -math.inf:
                tokens.append(NOTHING)
                logprobs.append(value)
                text_logprobs.append(math.nan)
                break
            tokens.append(allowed[best])
            logprobs.append(value - float(logits.logsumexp[row]))
            # Not read where that is not finite: decoding raises NotFiniteError first.
            among = float(np.exp(values - value).sum()) if math.isfinite(value) else math.nan
            text_logprobs.append(-math.log(among))
            if ends and best == 0:
                break
            nodes = moved(tokens[-1])
            if step == len(drafts) or drafts[step] == ABSENT or drafts[step] != tokens[-1]:
                break
        return _Steps(tokens, logprobs, text_logprobs, nodes)

    def _options(self, nodes: Nodes, left: int) -> tuple[list[int], Callable[[int], Nodes]]:
        """RETURNS (tuple[list[int], Callable[[int], Nodes]]): The tokens that are allowed with so
        many tokens left, rising, and the nodes that one of them leads to."""
        if nodes == AT_START or len(nodes) > FEW_NODES:
            return self._many_options(nodes, left)
        targets: dict[int, list[int]] = {}
        edges = self._edges
        for node in nodes:
            first = bisect_left(self._src, node, len(self.first_tokens))
            for dst, token, need in edges[first : bisect_right(self._src, node, first)]:
                if need < left:
                    targets.setdefault(token, []).append(dst)
        return sorted(targets), lambda token: tuple(dict.fromkeys(targets[token]))

    def _many_options(self, nodes: Nodes, left: int) -> tuple[list[int], Callable[[int], Nodes]]:
        """RETURNS (tuple[list[int], Callable[[int], Nodes]]): As of `_options`."""
        lattice, n = self._lattice, len(self.first_tokens)
        if nodes == AT_START:
            live = lattice.need[:n] < left
            token, dst = self.first_tokens[live], lattice.dst[:n][live]
        else:
            reached = np.zeros(len(lattice.is_end) + 2, dtype=bool)
            reached[list(nodes)] = True  # AFTER is the last but one
            live = reached[lattice.src[n:]] & (lattice.need[n:] < left)
            token, dst = lattice.token[n:][live], lattice.dst[n:][live]
        distinct = np.unique(token)
        return distinct.tolist(), lambda chosen: tuple(np.unique(dst[token == chosen]).tolist())

    @cached_property
    def _src(self) -> list[int]:
        return self._lattice.src.tolist()

    @cached_property
    def _edges(self) -> list[tuple[int, int, int]]:
        lattice = self._lattice
        columns = (lattice.dst, lattice.token, lattice.need)
        return list(zip(*(column.tolist() for column in columns), strict=True))
