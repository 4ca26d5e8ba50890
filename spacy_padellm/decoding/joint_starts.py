"""The first tokens of a label's mentions, chosen together: starts that rise through the text."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..tokenization.arrays import Ints

Floats = NDArray[np.float64]
LEAST = -1e30  # what a model calls impossible can be chosen where nothing else is left


class Openings:
    """The tokens that mentions of a text can begin with, at places of the text.

    place, token (Ints): Place and token of each edge, places rising [edges].
    once (Ints): Of the edges one a token.
    """

    def __init__(self, place: Ints, token: Ints, once: Ints):
        self.place, self.token = place, token
        self._once = once
        edges = np.flatnonzero(place[1:] != place[:-1]) + 1
        self._starts = np.concatenate([np.zeros(min(1, len(place)), dtype=np.int64), edges])
        self._ends = np.append(edges, len(place))  # of the edges of each place

    def rising(self, logprobs: Floats) -> Ints | None:
        """Choose an edge for each mention, so that places rise and the sum is highest (Viterbi).

        Of equal sums the one whose places come first, from the last mention to the first.

        logprobs (Floats): [mentions, edges].
        RETURNS (Ints | None): The edges; None where the text has too few places.
        """
        if len(self._starts) < len(logprobs):
            return None
        best = np.maximum.reduceat(logprobs, self._starts, axis=1).clip(LEAST)
        total, back = best[0], []
        number = np.arange(len(total))
        before = np.full(len(total), -np.inf)
        for row in best[1:]:
            before[1:] = np.maximum.accumulate(total)[:-1]
            who = np.maximum.accumulate(np.where(total > before, number, 0))
            back.append(who)
            total = row + before
        place = int(total.argmax())
        places = [place]
        for who in reversed(back):
            place = int(who[place - 1])
            places.append(place)
        places.reverse()
        spans = zip(self._starts[places].tolist(), self._ends[places].tolist(), strict=True)
        return np.array(
            [
                first if last == first + 1 else first + int(row[first:last].argmax())
                for row, (first, last) in zip(logprobs, spans, strict=True)
            ]
        )

    def windows(self, chosen: Ints) -> list[Ints]:
        """Edges that say the same as the chosen ones, at all places that leave the others room.

        Which of several equal beginnings is meant shows when the mention goes on. A place is left
        in where the other mentions of the label still fit before and behind it, so that places
        rise.

        chosen (Ints): An edge for each mention of a label, places rising.
        RETURNS (list[Ints]): Edges for each mention, the chosen one among them.
        """
        same = [np.flatnonzero(here) for here in self.token == self.token[chosen, None]]
        if all(len(edges) == 1 for edges in same):
            return same
        places = [self.place[edges] for edges in same]
        first, last = [], []
        bound = -1
        for here in places:
            bound = int(here[np.searchsorted(here, bound, side="right")])
            first.append(bound)
        bound = int(self.place[-1]) + 1
        for here in reversed(places):
            bound = int(here[np.searchsorted(here, bound) - 1])
            last.append(bound)
        return [
            edges[(here >= start) & (here <= end)]
            for edges, here, start, end in zip(same, places, first, reversed(last), strict=True)
        ]

    def logsumexp_of(self, logprobs: Floats) -> Floats:
        """RETURNS (Floats): Log of the probability of all tokens, each counted once [mentions]."""
        return np.logaddexp.reduce(logprobs[:, self._once], axis=1)
