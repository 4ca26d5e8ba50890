"""The first tokens of a label's mentions, chosen together: starts that rise through the text."""

from __future__ import annotations

import numpy as np

from ..tokenization.arrays import Float64s, Ints

LEAST = -1e30  # tokens that the model excludes are chosen where nothing else is left


class StartEdges:
    """The tokens that mentions of a text can begin with, at byte offsets of the text.

    byte_offset, token (Ints): Offset and token of each edge, offsets rising [edges].
    distinct (Ints): One edge for each distinct token.
    """

    def __init__(self, byte_offset: Ints, token: Ints, distinct: Ints):
        self.byte_offset, self.token = byte_offset, token
        self._distinct = distinct
        bounds = np.flatnonzero(byte_offset[1:] != byte_offset[:-1]) + 1
        first = np.zeros(min(1, len(byte_offset)), dtype=np.int64)
        self._starts = np.concatenate([first, bounds])
        self._ends = np.append(bounds, len(byte_offset))  # of the edges of each offset

    def viterbi(self, logprobs: Float64s) -> Ints | None:
        """Choose one edge for each mention, so that byte offsets rise and the sum of
        log-probabilities is highest, by a Viterbi pass over offsets. Of equal sums the one with
        the lowest offsets is chosen, from the last mention to the first.

        logprobs (Float64s): [mentions, edges].
        RETURNS (Ints | None): The edges; None where the text has too few offsets.
        """
        if len(self._starts) < len(logprobs):
            return None
        best = np.maximum.reduceat(logprobs, self._starts, axis=1).clip(LEAST)
        total, back = best[0], []
        number = np.arange(len(total))
        before = np.full(len(total), -np.inf)
        for scores in best[1:]:
            before[1:] = np.maximum.accumulate(total)[:-1]
            origin = np.maximum.accumulate(np.where(total > before, number, 0))
            back.append(origin)
            total = scores + before
        offset = int(total.argmax())
        offsets = [offset]
        for origin in reversed(back):
            offset = int(origin[offset - 1])
            offsets.append(offset)
        offsets.reverse()
        spans = zip(self._starts[offsets].tolist(), self._ends[offsets].tolist(), strict=True)
        return np.array(
            [
                first if last == first + 1 else first + int(scores[first:last].argmax())
                for scores, (first, last) in zip(logprobs, spans, strict=True)
            ]
        )

    def alternatives(self, chosen: Ints) -> list[Ints]:
        """Find the edges of the same tokens at other byte offsets. Which of several equal starts is
        meant shows in the tokens after it. An offset is kept where the other mentions of the label
        still fit before and after it.

        chosen (Ints): An edge for each mention of a label, offsets rising.
        RETURNS (list[Ints]): Edges for each mention, the chosen one among them.
        """
        same = [np.flatnonzero(is_same) for is_same in self.token == self.token[chosen, None]]
        if all(len(edges) == 1 for edges in same):
            return same
        offsets = [self.byte_offset[edges] for edges in same]
        first, last = [], []
        bound = -1
        for candidates in offsets:
            bound = int(candidates[np.searchsorted(candidates, bound, side="right")])
            first.append(bound)
        bound = int(self.byte_offset[-1]) + 1
        for candidates in reversed(offsets):
            bound = int(candidates[np.searchsorted(candidates, bound) - 1])
            last.append(bound)
        return [
            edges[(candidates >= low) & (candidates <= high)]
            for edges, candidates, low, high in zip(
                same, offsets, first, reversed(last), strict=True
            )
        ]

    def logsumexp(self, logprobs: Float64s) -> Float64s:
        """Sum the probabilities of all tokens, each counted once.

        RETURNS (Float64s): Their natural log [mentions].
        """
        return np.logaddexp.reduce(logprobs[:, self._distinct], axis=1)
