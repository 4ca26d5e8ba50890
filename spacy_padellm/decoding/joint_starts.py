"""The first tokens of a label's mentions, chosen together: starts that rise through the text."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..tree import Ints

Floats = NDArray[np.float64]
LEAST = -1e30  # what a model calls impossible can be chosen where nothing else is left


def rising(logprobs: Floats, src: Ints) -> list[int] | None:
    """Choose an edge for each mention, so that starts rise and the sum is the highest (Viterbi).

    Of equal sums the one whose starts come first, from the last mention to the first.

    logprobs (Floats): [mentions, edges].
    src (Ints): Start of each edge, rising [edges].
    RETURNS (list[int] | None): The edges; None where the text has too few starts.
    """
    starts, first = np.unique(src, return_index=True)
    if len(starts) < len(logprobs):
        return None
    best = np.maximum.reduceat(logprobs, first, axis=1).clip(LEAST)  # [mentions, starts]
    total, back = best[0], []
    for row in best[1:]:
        reach = np.maximum.accumulate(total)
        before = np.concatenate([[-np.inf], reach[:-1]])
        who = np.maximum.accumulate(np.where(total > before, np.arange(len(total)), 0))
        back.append(np.concatenate([[0], who[:-1]]))
        total = row + before
    place = int(total.argmax())
    places = [place]
    for who in reversed(back):
        place = int(who[place])
        places.append(place)
    ends = np.append(first[1:], len(src))
    return [
        int(first[place] + logprobs[row, first[place] : ends[place]].argmax())
        for row, place in enumerate(reversed(places))
    ]


def windows(chosen: list[int], src: Ints, token: Ints) -> list[Ints]:
    """Edges that say the same as the chosen ones, at all places that leave the others room.

    Which of several equal beginnings is meant shows when the mention goes on. A place is left in
    where the other mentions of the label still fit before and behind it, so that starts rise.

    chosen (list[int]): An edge for each mention of a label, starts rising.
    src, token (Ints): Start and token of each edge [edges].
    RETURNS (list[Ints]): Edges for each mention, the chosen one among them.
    """
    same = [np.flatnonzero(token == token[edge]) for edge in chosen]
    first, last = [], []
    bound = -1
    for edges in same:
        bound = int(src[edges[np.searchsorted(src[edges], bound, side="right")]])
        first.append(bound)
    bound = int(src[-1]) + 1
    for edges in reversed(same):
        bound = int(src[edges[np.searchsorted(src[edges], bound) - 1]])
        last.append(bound)
    return [
        edges[(src[edges] >= start) & (src[edges] <= end)]
        for edges, start, end in zip(same, first, reversed(last), strict=True)
    ]


def log_total_of(logprobs: Floats, token: Ints) -> Floats:
    """RETURNS (Floats): Log of the probability of all tokens, each counted once [mentions]."""
    _, once = np.unique(token, return_index=True)
    return np.logaddexp.reduce(logprobs[:, once], axis=1)
