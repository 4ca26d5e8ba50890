"""The predictions of a document's windows, merged into one alignment."""

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
from .occurrences import WindowText
from .prediction import Prediction
from .spans import Mention, ScoredSpan
from .windows import Window


def align_windows(
    doc: Doc, prediction: Prediction, *, mode: str = "expand", ignore_case: bool = False
) -> Alignment:
    """Align the mentions of each window with the window's text, and merge the spans.

    Of spans with the same tokens and label the one with the highest score is kept. A span that
    touches an edge of its window may be truncated there: it is dropped if another window contains
    the same characters away from that edge, whatever that window predicts for them. All other spans
    are kept, overlapping ones too, as within one window: the rules for doc.ents choose by
    probability.

    doc (Doc): The document. Only its text and tokens are read.
    prediction (Prediction): The prediction, with one part per window.
    mode (str), ignore_case (bool): As in `align`.
    RETURNS (Alignment): The spans, the unaligned mentions, and the dropped spans as `superseded`.
    """
    text = doc.text
    columns = doc.to_array([IDX, LENGTH]).view(np.int64)
    token_starts = columns[:, 0]
    token_ends = token_starts + columns[:, 1]
    windows = WindowOverlaps([window for window, _ in prediction.parts])
    best: dict[tuple[int, int, str], ScoredSpan] = {}
    unaligned: list[tuple[Mention, str]] = []
    superseded: list[ScoredSpan] = []
    for window, part in prediction.parts:
        if not part.mentions:
            continue
        first = int(token_ends.searchsorted(window.start, "right"))
        last = int(token_starts.searchsorted(window.end, "left"))
        window_text = WindowText(
            text[window.start : window.end],
            (token_starts[first:last] - window.start).tolist(),
            (token_ends[first:last] - window.start).tolist(),
        )
        aligned = align(window_text, part.mentions, mode=mode, ignore_case=ignore_case)
        unaligned += aligned.unaligned
        for window_span in aligned.spans:
            span = replace(
                window_span,
                start=window_span.start + first,
                end=window_span.end + first,
                start_char=window_span.start_char + window.start,
                end_char=window_span.end_char + window.start,
            )
            if windows.has_better_context(span, window):
                superseded.append(span)
                continue
            key = (span.start, span.end, span.label)
            other = best.setdefault(key, span)
            if other is not span:
                best[key] = max(other, span, key=attrgetter("score"))  # a tie keeps the first
                superseded.append(span if best[key] is other else other)
    spans = sorted(best.values(), key=attrgetter("start_char", "end_char"))
    return Alignment(spans, unaligned, tuple(superseded))


class WindowOverlaps:
    """The overlapping windows of a document.

    windows (Sequence[Window]): The windows, ordered by their starts.
    """

    def __init__(self, windows: Sequence[Window]) -> None:
        self._windows = windows
        self._starts = [window.start for window in windows]
        self._reach = list(accumulate((window.end for window in windows), max))

    def has_better_context(self, span: ScoredSpan, window: Window) -> bool:
        """RETURNS (bool): Whether a span touches an edge of its window, and another window contains
        it with text around it on each side where the document has text."""
        at_start, at_end = span.start_char == window.start, span.end_char == window.end
        if not at_start and not at_end:
            return False
        # The outer edges of the first and the last window truncate nothing.
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
