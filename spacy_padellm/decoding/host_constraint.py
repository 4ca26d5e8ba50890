"""The substring constraint for few mentions, on the host: `Constraint` mention by mention.

Tables for all mentions at once take a hundred operations a step, however few there are: a GPU waits
for the host that long. A mention or two are done sooner with what can follow them alone.
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
from .constraint import Chosen
from .lattice import START, Lattice
from .logits import HostLogits, Logits, check_finite
from .mentions import NOTHING

Nodes = tuple[int, ...]
AT_START: Nodes = (START,)
FEW_NODES = 8  # looked at one by one
NO_VALUES = np.zeros(0, dtype=np.float32)


class _Said(NamedTuple):
    """What a mention takes: as a row of Chosen, and the nodes it has reached."""

    tokens: list[int]
    logprobs: list[float]
    text_logprobs: list[float]
    nodes: Nodes


class HostConstraint:
    """Where in their texts mentions can be, by what they have said so far: as `Constraint`, and it
    says the same.

    documents (Sequence[Lattice]): The documents of a batch.
    end_id (int): The token that ends a mention.
    """

    def __init__(self, documents: Sequence[Lattice], end_id: int):
        self._texts = [_Text(one, end_id) for one in documents]
        self._document: list[int] = []
        self._reached: list[Nodes] = []

    def add(self, documents: Ints) -> Ints:
        """RETURNS (Ints): Numbers of mentions that begin, given the document of each."""
        first = len(self._document)
        self._document += documents.tolist()
        self._reached += [AT_START] * len(documents)
        return np.arange(first, len(self._document))

    def choose(
        self, mentions: Ints, logits: Logits, left: Ints, rows: Ints, drafts: Ints
    ) -> Chosen:
        """RETURNS (Chosen): As of `Constraint.choose`; logits are on the host."""
        read = logits.on_host()
        n, n_steps = rows.shape
        token = np.full((n, n_steps), NOTHING)
        logprob, text_logprob = np.full((2, n, n_steps), -np.inf)
        taken, node = np.ones((2, n), dtype=np.int64)
        asked = zip(mentions.tolist(), left.tolist(), rows.tolist(), drafts.tolist(), strict=True)
        for i, (mention, *rest) in enumerate(asked):
            text = self._texts[self._document[mention]]
            said = text.choose(self._reached[mention], read, *rest)
            self._reached[mention] = said.nodes
            taken[i] = n_taken = len(said.tokens)
            token[i, :n_taken] = said.tokens
            logprob[i, :n_taken] = said.logprobs
            text_logprob[i, :n_taken] = said.text_logprobs
            node[i] = min((one for one in said.nodes if one >= 0), default=START)
        return Chosen(token, logprob, text_logprob, taken, node)

    def openings(self, mentions: Ints, logits: Logits, rows: Ints) -> list[NDArray[np.float64]]:
        """RETURNS (list[NDArray]): As of `Constraint.openings`.
        RAISES (NotFiniteError): None of a mention's is finite, or one is not a number."""
        read = logits.on_host()
        found = []
        for mention, row in zip(mentions.tolist(), rows.tolist(), strict=True):
            token = self._texts[self._document[mention]].opening
            logprobs = read.at(row, token) - read.total[row]
            if len(token):
                check_finite(logprobs.max(keepdims=True))
            found.append(logprobs.astype(np.float64))
        return found

    def enter(self, mentions: Sequence[int], nodes: Sequence[Ints]) -> None:
        """Put mentions where their first tokens, chosen elsewhere, took them."""
        for mention, reached in zip(mentions, nodes, strict=True):
            self._reached[mention] = tuple(dict.fromkeys(reached.tolist()))

    def ends(self, mentions: Ints) -> tuple[Ints, Ints]:
        """RETURNS (tuple[Ints, Ints]): As of `Constraint.ends`."""
        found = [
            (i, place)
            for i, mention in enumerate(mentions.tolist())
            for place in sorted(self._reached[mention])
            if self._texts[self._document[mention]].ends_at(place)
        ]
        of, place = np.array(found, dtype=np.int64).reshape(-1, 2).T
        return of, place


class _Text:
    """The edges of one document, by the node that they leave.

    opening (Ints): Tokens of the edges out of START [edges out of START].
    """

    def __init__(self, lattice: Lattice, end_id: int):
        self._lattice = lattice
        self._end_id = end_id
        self.opening = lattice.token[: len(lattice.place)]

    def ends_at(self, node: int) -> bool:
        """RETURNS (bool): Whether a mention can end at a node."""
        return node >= 0 and bool(self._lattice.is_end[node])

    def choose(
        self,
        nodes: Nodes,
        logits: HostLogits,
        left: int,
        rows: Sequence[int],
        drafts: Sequence[int],
    ) -> _Said:
        """RETURNS (_Said): What a mention says that has reached some nodes, of `left` tokens at
        most: one token, and one more for each token of its draft that it says."""
        tokens: list[int] = []
        logprobs: list[float] = []
        text_logprobs: list[float] = []
        for step, row in enumerate(rows):
            ends = any(map(self.ends_at, nodes))
            follow, moved = self._options(nodes, left - step)
            allowed = [self._end_id, *follow] if ends else follow
            values = logits.at(row, allowed) if allowed else NO_VALUES
            best = int(values.argmax()) if allowed else 0
            value = float(values[best]) if allowed else -math.inf
            if value == -math.inf:
                tokens.append(NOTHING)
                logprobs.append(value)
                text_logprobs.append(math.nan)
                break
            tokens.append(allowed[best])
            logprobs.append(value - float(logits.total[row]))
            # Where that is not finite, nobody reads what it is among others.
            among = float(np.exp(values - value).sum()) if math.isfinite(value) else math.nan
            text_logprobs.append(-math.log(among))
            if ends and best == 0:
                break
            nodes = moved(tokens[-1])
            if step == len(drafts) or drafts[step] == ABSENT or drafts[step] != tokens[-1]:
                break
        return _Said(tokens, logprobs, text_logprobs, nodes)

    def _options(self, nodes: Nodes, left: int) -> tuple[list[int], Callable[[int], Nodes]]:
        """RETURNS (tuple[list[int], Callable[[int], Nodes]]): The tokens that may be said with so
        many tokens left, rising, and the nodes that one of them leads to."""
        if nodes == AT_START or len(nodes) > FEW_NODES:
            return self._many_options(nodes, left)
        found: dict[int, list[int]] = {}
        edges = self._edges
        for node in nodes:
            first = bisect_left(self._src, node, len(self.opening))
            for dst, token, need in edges[first : bisect_right(self._src, node, first)]:
                if need < left:
                    found.setdefault(token, []).append(dst)
        return sorted(found), lambda token: tuple(dict.fromkeys(found[token]))

    def _many_options(self, nodes: Nodes, left: int) -> tuple[list[int], Callable[[int], Nodes]]:
        """RETURNS (tuple[list[int], Callable[[int], Nodes]]): As of `_options`."""
        lattice, n = self._lattice, len(self.opening)
        if nodes == AT_START:
            live = lattice.need[:n] < left
            token, dst = self.opening[live], lattice.dst[:n][live]
        else:
            reached = np.zeros(len(lattice.is_end) + 2, dtype=bool)
            reached[list(nodes)] = True  # AFTER is the last but one
            live = reached[lattice.src[n:]] & (lattice.need[n:] < left)
            token, dst = lattice.token[n:][live], lattice.dst[n:][live]
        once = np.unique(token)
        return once.tolist(), lambda said: tuple(np.unique(dst[token == said]).tolist())

    @cached_property
    def _src(self) -> list[int]:
        return self._lattice.src.tolist()

    @cached_property
    def _edges(self) -> list[tuple[int, int, int]]:
        lattice = self._lattice
        columns = (lattice.dst, lattice.token, lattice.need)
        return list(zip(*(column.tolist() for column in columns), strict=True))
