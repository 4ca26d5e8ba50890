"""What the windows of one document say, made one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from operator import attrgetter

import numpy as np
from spacy.attrs import IDX, LENGTH
from spacy.tokens import Doc

from .alignment import Alignment, align
from .occurrences import Piece
from .prediction import Prediction
from .spans import Mention, ScoredSpan
from .windows import Window


def align_windows(
    doc: Doc, prediction: Prediction, *, mode: str = "expand", ignore_case: bool = False
) -> Alignment:
    """Find what was said of each window in that window's text, and merge it.

    Of the same tokens under the same label the highest score stands. What touches an edge of its
    window may be cut off there: it gives way where another window holds its place away from its
    own edges, whatever that window says of it. All else stands side by side, as spans that overlap
    do within one window: the rules for doc.ents choose by probability.

    doc (Doc): The document. Only its text and tokens are read.
    prediction (Prediction): What was said of its windows.
    mode (str), ignore_case (bool): As in `align`.
    RETURNS (Alignment): The spans, the unaligned mentions, and the spans that gave way.
    """
    text = doc.text
    columns = doc.to_array([IDX, LENGTH]).view(np.int64)
    token_starts = columns[:, 0]
    token_ends = token_starts + columns[:, 1]
    windows = Overlaps([window for window, _ in prediction.parts])
    best: dict[tuple[int, int, str], ScoredSpan] = {}
    unaligned: list[tuple[Mention, str]] = []
    superseded: list[ScoredSpan] = []
    for window, said in prediction.parts:
        if not said.mentions:
            continue
        first = int(token_ends.searchsorted(window.start, "right"))
        last = int(token_starts.searchsorted(window.end, "left"))
        piece = Piece(
            text[window.start : window.end],
            (token_starts[first:last] - window.start).tolist(),
            (token_ends[first:last] - window.start).tolist(),
        )
        aligned = align(piece, said.mentions, mode=mode, ignore_case=ignore_case)
        unaligned += aligned.unaligned
        for one in aligned.spans:
            span = replace(
                one,
                start=one.start + first,
                end=one.end + first,
                start_char=one.start_char + window.start,
                end_char=one.end_char + window.start,
            )
            if windows.is_better_held(span, window):
                superseded.append(span)
                continue
            key = (span.start, span.end, span.label)
            other = best.setdefault(key, span)
            if other is not span:
                best[key] = max(other, span, key=attrgetter("score"))  # of equal ones the first
                superseded.append(span if best[key] is other else other)
    spans = sorted(best.values(), key=attrgetter("start_char", "end_char"))
    return Alignment(spans, unaligned, tuple(superseded))


class Overlaps:
    """Which windows hold a place.

    windows (Sequence[Window]): The windows of a document, by their starts.
    """

    def __init__(self, windows: Sequence[Window]) -> None:
        self._windows = windows
        self._starts = [window.start for window in windows]
        self._reach = list(accumulate((window.end for window in windows), max))

    def is_better_held(self, span: ScoredSpan, window: Window) -> bool:
        """RETURNS (bool): Whether a span touches an edge of its window, and another window holds
        its place with text of the document on that side, or on both."""
        at_start, at_end = span.start_char == window.start, span.end_char == window.end
        if not at_start and not at_end:
            return False
        # An edge of the outermost windows is the document's own.
        before = span.start_char > self._starts[0]
        after = span.end_char < self._reach[-1]
        if not (at_start and before) and not (at_end and after):
            return False
        i = bisect_right(self._starts, span.start_char) - 1
        while i >= 0 and self._reach[i] >= span.end_char:
            start, end = self._windows[i]
            if (
                end >= span.end_char
                and (start < span.start_char or not before)
                and (end > span.end_char or not after)
            ):
                return True
            i -= 1
        return False
