"""Cuts a text that is too long for one window, at good places, with overlap."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from ..tokenization.arrays import Ints

if TYPE_CHECKING:
    from ..tokenization.codec import Codec

IN_TOKEN, AT_TOKEN, AT_SENTENCE = range(3)  # how good a place to cut is
FINAL = frozenset(".!?。！？…")
JOINERS = "\u200c\u200d"
ENCODED = 256  # windows that are tokenised at once

Range = tuple[int, int]


@dataclass
class _Units:
    """What is not cut: tokens, and fragments of long ones.

    start, end (list[int]): Their characters.
    place (list[int]): How good it is to cut before each.
    tokens (list[int]): Model tokens before each unit, and of all; the white space before a unit
        counts as its own.
    """

    start: list[int]
    end: list[int]
    place: list[int]
    tokens: list[int]


def cut(
    text: str, bounds: Ints, part: Range, codec: Codec, limit: int, overlap: int, most: int | None
) -> list[Range]:
    """Cut a part of a document into windows of at most so many tokens.

    Each character that is not white space is in a window. A window ends best with a sentence or a
    line, the last one that has room in it, and the next window starts there. Else it ends between
    two of the document's tokens, or (in a token of more than an eighth of a window) between two
    characters, and the next one overlaps it. Tokens are counted word by word; where the model's own
    bound is near, windows are counted again as a whole.

    text (str): The document's text.
    bounds (Ints): Start and end character of each of its tokens that is not whitespace [tokens, 2].
    part (Range): Characters of the part.
    codec (Codec): The model's tokenizer.
    limit (int): Most model tokens of a window.
    overlap (int): Model tokens that windows share where a sentence is cut, at most half of `limit`.
        From half of it to all of it are shared where there are so short units.
    most (int | None): Most model tokens that the model has room for.
    RETURNS (list[Range]): Start and end characters of the windows, both rising.
    """
    pieces: list[Range] = []
    for units in _units(text, bounds, part, codec, limit):
        size = limit
        found = list(_windows(units, size, overlap))
        is_sure = most is None or limit <= most * 3 // 4
        while not is_sure and size > 1 and not _fit(text, found, codec, most):
            size = size * 3 // 4
            found = list(_windows(units, size, min(overlap, size // 2)))
        pieces += found
    return pieces


def _fit(text: str, windows: Sequence[Range], codec: Codec, most: int | None) -> bool:
    for i in range(0, len(windows), ENCODED):
        texts = [text[start:end] for start, end in windows[i : i + ENCODED]]
        if any(most is not None and len(ids) > most for ids in codec.encode_texts(texts)):
            return False
    return True


def _windows(units: _Units, limit: int, overlap: int) -> Iterator[Range]:
    first, tokens, n = 0, units.tokens, len(units.start)
    end = 0
    while True:
        longest = max(bisect_right(tokens, tokens[first] + limit) - 1, first + 1)
        while longest <= end < n:  # large units: what goes on starts nearer to them
            first += 1
            longest = max(bisect_right(tokens, tokens[first] + limit) - 1, first + 1)
        if longest >= n:
            yield units.start[first], units.end[n - 1]
            return
        shortest = max(bisect_left(tokens, tokens[first] + limit // 4), first + 1, end + 1)
        end = _best(units.place, min(shortest, longest), longest, latest=True)
        yield units.start[first], units.end[end - 1]
        if units.place[end] == AT_SENTENCE:
            first = end
            continue
        earliest = max(bisect_left(tokens, tokens[end] - overlap), first + 1)
        latest = max(bisect_right(tokens, tokens[end] - overlap // 2) - 1, earliest)
        first = _best(units.place, min(earliest, end), min(latest, end), latest=False)


def _best(place: Sequence[int], first: int, last: int, *, latest: bool) -> int:
    """RETURNS (int): Of the units from first to last the one before which it is best to cut."""
    order = range(last, first - 1, -1) if latest else range(first, last + 1)
    return max(order, key=place.__getitem__)


def _units(text: str, bounds: Ints, part: Range, codec: Codec, limit: int) -> Iterator[_Units]:
    """YIELDS (_Units): Those of a part; new ones after a long run of white space, which no window
    has to hold."""
    size = limit // 8
    starts: list[int] = []
    ends: list[int] = []
    places: list[int] = []
    befores: list[int] = []
    counts: dict[str, int] = {}

    def counted() -> _Units:
        pieces = [text[a:b] for a, b in zip(befores, ends, strict=True)]
        new = list({piece for piece in pieces if piece not in counts})
        counts.update(zip(new, map(len, codec.encode_texts(new)), strict=True))
        tokens = list(accumulate((counts[piece] for piece in pieces), initial=0))
        return _Units(starts, ends, places, tokens)

    first = np.searchsorted(bounds[:, 1], part[0], "right")
    last = np.searchsorted(bounds[:, 0], part[1], "left")
    for start, end in bounds[first:last].tolist():
        start, end = max(start, part[0]), min(end, part[1])
        before = ends[-1] if ends else start
        if start - before > size:
            yield counted()
            starts, ends, places, befores = [], [], [], []
            before = start
        place = AT_TOKEN
        if ends and (text[ends[-1] - 1] in FINAL or "\n" in text[before:start]):
            alone = ends[-1] - starts[-1] == 1
            place = AT_SENTENCE if alone or "\n" in text[before:start] else AT_TOKEN
        for one_end in _fragments(text, start, end, size):
            starts.append(start)
            ends.append(one_end)
            places.append(place)
            befores.append(before)
            start = before = one_end
            place = IN_TOKEN
    if starts:
        yield counted()


def _fragments(text: str, start: int, end: int, size: int) -> Iterator[int]:
    """YIELDS (int): Ends of the fragments of a token, of so many characters; they don't come
    between a character and its combining marks, unless these are more than a fragment."""
    while end - start > size:
        at = start + size
        while at > start + 1 and _continues(text, at):
            at -= 1
        if at == start + 1:
            at = start + size
        yield at
        start = at
    yield end


def _continues(text: str, i: int) -> bool:
    return (
        text[i - 1] in JOINERS
        or text[i] in JOINERS
        or (text[i] > "\u02ff" and unicodedata.category(text[i]).startswith("M"))
    )
