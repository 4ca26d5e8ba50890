"""Where a string occurs in the text of a Doc."""

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from spacy.attrs import IDX, IS_SPACE, LENGTH
from spacy.tokens import Doc

# Character offsets in doc.text, end exclusive.
Place = tuple[int, int]


def as_read(text: str) -> str:
    """RETURNS (str): The text with a space for each newline and carriage return, as the model is
    trained to say it. Offsets stay the same."""
    return text.replace("\n", " ").replace("\r", " ")


def token_bounds(doc: Doc) -> NDArray[np.int64]:
    """RETURNS (NDArray[np.int64]): Start and end character of each token that is not whitespace
    [tokens, 2]."""
    columns = doc.to_array([IDX, LENGTH, IS_SPACE]).view(np.int64)
    bounds, is_space = columns[:, :2], columns[:, 2]
    bounds[:, 1] += bounds[:, 0]
    return bounds[is_space == 0] if is_space.any() else bounds


class Piece(NamedTuple):
    """A piece of a Doc's text.

    text (str): The text.
    starts (list[int]): Start of each token that it has a part of, counted from its own; below 0
        where it begins inside the token.
    ends (list[int]): End of each, likewise; above its length where it ends inside the token.
    """

    text: str
    starts: list[int]
    ends: list[int]


class DocText:
    """The text of a Doc, to be searched for strings.

    doc (Doc | Piece): The document, or a window of one. Only its text and tokens are read.
    ignore_case (bool): Whether equivalent strings may differ in case.
    """

    def __init__(self, doc: "Doc | Piece", *, ignore_case: bool = False) -> None:
        self.ignore_case = ignore_case
        self._doc = doc

    # Mentions whose places are known ask for few of these.

    @cached_property
    def text(self) -> str:
        """RETURNS (str): The text, as read."""
        return as_read(self._doc.text)

    @cached_property
    def starts(self) -> list[int]:
        """RETURNS (list[int]): Start of each token."""
        if isinstance(self._doc, Piece):
            return self._doc.starts
        return [token.idx for token in self._doc]

    @cached_property
    def ends(self) -> list[int]:
        """RETURNS (list[int]): End of each token."""
        if isinstance(self._doc, Piece):
            return self._doc.ends
        return [token.idx + len(token) for token in self._doc]

    @cached_property
    def _exact(self) -> "_Haystack":
        return _Haystack(self.text, self.starts, self.ends)

    @cached_property
    def _is_folded(self) -> bool:
        return not self.ignore_case and unicodedata.is_normalized("NFC", self.text)

    def find(self, string: str) -> list[list[Place]]:
        """Find the places of a string, best first. Within a rank they are in reading order and do
        not overlap, as in `str.count`.

        string (str): The string, as read, not empty.
        RETURNS (list[list[Place]]): Four ranks: places from the start of a token to the end of one
            where the text has the same code points, then equivalent ones; places that start or end
            inside a token where the text has the same code points, then equivalent ones.
        """
        ranks = self._exact.find(string)
        if self._is_folded and unicodedata.is_normalized("NFC", string):
            return [ranks[0], [], ranks[1], []]
        offsets, folded = self._folded
        known = {place for rank in ranks for place in rank}
        equivalent = [
            [
                place
                for start, end in rank
                if start in offsets
                and end in offsets
                and (place := (offsets[start], offsets[end])) not in known
            ]
            for rank in folded.find(self.fold(string))
        ]
        return [ranks[0], equivalent[0], ranks[1], equivalent[1]]

    def fold(self, string: str) -> str:
        """RETURNS (str): The form that all equivalent strings share: Unicode's normal form C, and
        its case folding if case is ignored."""
        if not self.ignore_case:
            return unicodedata.normalize("NFC", string)
        if string.isascii():
            return string.casefold()
        return "".join(map(self._fold_character, _characters(string)))

    def at_tokens(self, place: Place) -> bool:
        """RETURNS (bool): Whether the place starts where a token starts and ends where one ends."""
        start, end = self.expand(place)
        return (self.starts[start], self.ends[end - 1]) == place

    def expand(self, place: Place) -> tuple[int, int]:
        """RETURNS (tuple[int, int]): Start and end of the tokens that the place touches."""
        return bisect_right(self.starts, place[0]) - 1, bisect_left(self.starts, place[1])

    def _fold_character(self, character: str) -> str:
        character = unicodedata.normalize("NFC", character)
        if self.ignore_case:
            character = unicodedata.normalize("NFC", character.casefold())
        return character

    @cached_property
    def _folded(self) -> "tuple[dict[int, int], _Haystack]":
        """RETURNS (tuple[dict[int, int], _Haystack]): The folded text, and before it the offset in
        the text of each offset in the folded one that is the edge of a character."""
        pieces: list[str] = []
        offsets = {0: 0}
        read = folded = 0
        for character in _characters(self.text):
            pieces.append(self._fold_character(character))
            read += len(character)
            folded += len(pieces[-1])
            offsets[folded] = read
        back = {offset: i for i, offset in offsets.items()}
        starts = [back[start] for start in self.starts if start in back]
        ends = [back[end] for end in self.ends if end in back]
        return offsets, _Haystack("".join(pieces), starts, ends)


class _Haystack:
    """A text with the offsets at which its tokens start and end."""

    def __init__(self, text: str, starts: Sequence[int], ends: Sequence[int]) -> None:
        self.text = text
        self.starts = starts
        self.ends = set(ends)

    def find(self, string: str) -> tuple[list[Place], list[Place]]:
        """RETURNS (tuple[list[Place], list[Place]]): The places from the start of a token to the
        end of one, and those that start or end inside a token."""
        at_tokens = list(self._find_at_tokens(string))
        known = set(at_tokens)
        return at_tokens, [place for place in self._find_all(string) if place not in known]

    def _find_at_tokens(self, string: str) -> Iterator[Place]:
        start = self.text.find(string)
        while start >= 0:
            # Go on from token to token: a long run of one character matches everywhere.
            token = bisect_left(self.starts, start)
            if token == len(self.starts):
                return
            end = start + len(string)
            if start < self.starts[token]:
                start = self.text.find(string, self.starts[token])
            elif end in self.ends:
                yield start, end
                start = self.text.find(string, end)
            else:
                start = self.text.find(string, start + 1)

    def _find_all(self, string: str) -> Iterator[Place]:
        start = self.text.find(string)
        while start >= 0:
            end = start + len(string)
            yield start, end
            start = self.text.find(string, end)


def _characters(text: str) -> Iterator[str]:
    """Split a text where its parts normalise on their own.

    YIELDS (str): A character with its combining marks, or several that compose (Hangul).
    """
    start = 0
    for i in range(1, len(text)):
        if not _continues(text, start, i):
            yield text[start:i]
            start = i
    if text:
        yield text[start:]


def _continues(text: str, start: int, i: int) -> bool:
    """RETURNS (bool): Whether the code point at `i` belongs to the character begun at `start`."""
    if text[i] < "\u0300":
        return False
    if unicodedata.category(text[i]).startswith("M"):
        return True
    apart = unicodedata.normalize("NFC", text[start:i]) + unicodedata.normalize("NFC", text[i])
    return unicodedata.normalize("NFC", text[start : i + 1]) != apart
