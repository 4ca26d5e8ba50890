"""Cuts a text that is too long for one window, at sentence or token boundaries, with overlap."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from ..tokenization.arrays import Ints
from .spans import CharSpan

if TYPE_CHECKING:
    from ..tokenization.codec import Codec

IN_TOKEN, AT_TOKEN, AT_SENTENCE = range(3)  # kinds of boundaries, the best to cut at last
FINAL = frozenset(".!?。！？…")
JOINERS = "\u200c\u200d"
ENCODE_BATCH = 256  # windows that are tokenised at once


@dataclass
class _Units:
    """The units that windows consist of: tokens of the document, and fragments of long ones.

    start, end (list[int]): Start and end character of each unit [units].
    boundary (list[int]): Kind of the boundary before each unit [units].
    tokens (list[int]): Number of model tokens before each unit, and of all units; the white space
        before a unit counts as part of it [units + 1].
    """

    start: list[int]
    end: list[int]
    boundary: list[int]
    tokens: list[int]


def cut(
    text: str,
    bounds: Ints,
    part: CharSpan,
    codec: Codec,
    limit: int,
    overlap: int,
    max_tokens: int | None,
) -> list[CharSpan]:
    """Cut a part of a document into windows of at most `limit` tokens.

    Each character that is not white space is in a window. A window preferably ends with the last
    sentence or line that fits in it, and the next window starts there. Otherwise it ends between
    two of the document's tokens, or (in a token longer than an eighth of a window) between two
    characters, and the next window overlaps it. Tokens are counted word by word; if `limit` is near
    `max_tokens`, the tokens of whole windows are counted too.

    text (str): The document's text.
    bounds (Ints): Start and end character of each of its tokens that is not whitespace [tokens, 2].
    part (CharSpan): Characters of the part.
    codec (Codec): The model's tokenizer.
    limit (int): Maximum number of model tokens of a window.
    overlap (int): Model tokens that two windows share where a sentence is cut, at most half of
        `limit`; fewer, down to half of it, where the units are longer.
    max_tokens (int | None): Maximum number of tokens of a text that the model has positions for.
    RETURNS (list[CharSpan]): Start and end characters of the windows, both in ascending order.
    """
    windows: list[CharSpan] = []
    for units in _units(text, bounds, part, codec, limit):
        size = limit
        candidates = list(_windows(units, size, overlap))
        is_safe = max_tokens is None or limit <= max_tokens * 3 // 4
        while not is_safe and size > 1 and not _fit(text, candidates, codec, max_tokens):
            size = size * 3 // 4
            candidates = list(_windows(units, size, min(overlap, size // 2)))
        windows += candidates
    return windows


def _fit(text: str, windows: Sequence[CharSpan], codec: Codec, max_tokens: int | None) -> bool:
    """RETURNS (bool): Whether no window has more than `max_tokens` tokens."""
    for i in range(0, len(windows), ENCODE_BATCH):
        texts = [text[start:end] for start, end in windows[i : i + ENCODE_BATCH]]
        lengths = map(len, codec.encode_texts(texts))
        if max_tokens is not None and any(length > max_tokens for length in lengths):
            return False
    return True


def _windows(units: _Units, limit: int, overlap: int) -> Iterator[CharSpan]:
    """YIELDS (CharSpan): Start and end character of each window."""
    first, tokens, n = 0, units.tokens, len(units.start)
    end = 0
    while True:
        longest = max(bisect_right(tokens, tokens[first] + limit) - 1, first + 1)
        while longest <= end < n:  # units so large that the window would not advance: overlap less
            first += 1
            longest = max(bisect_right(tokens, tokens[first] + limit) - 1, first + 1)
        if longest >= n:
            yield units.start[first], units.end[n - 1]
            return
        shortest = max(bisect_left(tokens, tokens[first] + limit // 4), first + 1, end + 1)
        end = _best(units.boundary, min(shortest, longest), longest, latest=True)
        yield units.start[first], units.end[end - 1]
        if units.boundary[end] == AT_SENTENCE:
            first = end
            continue
        earliest = max(bisect_left(tokens, tokens[end] - overlap), first + 1)
        latest = max(bisect_right(tokens, tokens[end] - overlap // 2) - 1, earliest)
        first = _best(units.boundary, min(earliest, end), min(latest, end), latest=False)


def _best(boundary: Sequence[int], first: int, last: int, *, latest: bool) -> int:
    """RETURNS (int): The unit from first to last with the best boundary before it, the latest or
    earliest of equal ones."""
    order = range(last, first - 1, -1) if latest else range(first, last + 1)
    return max(order, key=boundary.__getitem__)


def _units(text: str, bounds: Ints, part: CharSpan, codec: Codec, limit: int) -> Iterator[_Units]:
    """YIELDS (_Units): The units of a part; separate ones after a long run of white space, which is
    left out of the windows."""
    size = limit // 8
    starts: list[int] = []
    ends: list[int] = []
    boundaries: list[int] = []
    befores: list[int] = []
    counts: dict[str, int] = {}

    def make_units() -> _Units:
        strings = [text[a:b] for a, b in zip(befores, ends, strict=True)]
        new = list({string for string in strings if string not in counts})
        counts.update(zip(new, map(len, codec.encode_texts(new)), strict=True))
        tokens = list(accumulate((counts[string] for string in strings), initial=0))
        return _Units(starts, ends, boundaries, tokens)

    first = np.searchsorted(bounds[:, 1], part[0], "right")
    last = np.searchsorted(bounds[:, 0], part[1], "left")
    for start, end in bounds[first:last].tolist():
        start, end = max(start, part[0]), min(end, part[1])
        before = ends[-1] if ends else start
        if start - before > size:
            yield make_units()
            starts, ends, boundaries, befores = [], [], [], []
            before = start
        boundary = AT_TOKEN
        if ends and (text[ends[-1] - 1] in FINAL or "\n" in text[before:start]):
            alone = ends[-1] - starts[-1] == 1
            boundary = AT_SENTENCE if alone or "\n" in text[before:start] else AT_TOKEN
        for fragment_end in _fragments(text, start, end, size):
            starts.append(start)
            ends.append(fragment_end)
            boundaries.append(boundary)
            befores.append(before)
            start = before = fragment_end
            boundary = IN_TOKEN
    if starts:
        yield make_units()


def _fragments(text: str, start: int, end: int, size: int) -> Iterator[int]:
    """YIELDS (int): Ends of the fragments of a token, of `size` characters or less, so that a
    character and its combining marks are in one fragment, unless they are longer than `size`."""
    while end - start > size:
        fragment_end = start + size
        while fragment_end > start + 1 and _continues(text, fragment_end):
            fragment_end -= 1
        if fragment_end == start + 1:
            fragment_end = start + size
        yield fragment_end
        start = fragment_end
    yield end


def _continues(text: str, i: int) -> bool:
    """RETURNS (bool): Whether the code point at `i` belongs to the character before it."""
    return (
        text[i - 1] in JOINERS
        or text[i] in JOINERS
        or (text[i] > "\u02ff" and unicodedata.category(text[i]).startswith("M"))
    )
