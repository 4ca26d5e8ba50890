"""The occurrences of a string in the text of a Doc, or of one of its windows."""

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from spacy.attrs import IDX, IS_SPACE, LENGTH
from spacy.tokens import Doc

from ..tokenization.arrays import Ints
from ..tokenization.codec import one_line
from .spans import CharSpan


def token_bounds(doc: Doc) -> Ints:
    """RETURNS (Ints): Start and end character of each token that is not whitespace
    [tokens, 2]."""
    columns = doc.to_array([IDX, LENGTH, IS_SPACE]).view(np.int64)
    bounds, is_space = columns[:, :2], columns[:, 2]
    bounds[:, 1] += bounds[:, 0]
    return bounds[is_space == 0] if is_space.any() else bounds


class WindowText(NamedTuple):
    """The text of a window of a Doc.

    text (str): The text.
    starts (list[int]): Start character in `text` of each token that overlaps the window; negative
        if the token starts before the window.
    ends (list[int]): End character of each of these tokens; more than the text's length if the
        token ends after the window.
    """

    text: str
    starts: list[int]
    ends: list[int]


class DocText:
    """The text of a Doc or of a window, with a search for strings.

    doc (Doc | WindowText): The document, or a window of one. Only its text and tokens are read.
    ignore_case (bool): Whether equivalent strings may differ in case.
    """

    def __init__(self, doc: "Doc | WindowText", *, ignore_case: bool = False) -> None:
        self.ignore_case = ignore_case
        self._doc = doc

    # Computed on first use: mentions with char_spans from the decoder need few of these.

    @cached_property
    def text(self) -> str:
        """RETURNS (str): The text with spaces for line breaks."""
        return one_line(self._doc.text)

    @cached_property
    def starts(self) -> list[int]:
        """RETURNS (list[int]): Start character of each token."""
        if isinstance(self._doc, WindowText):
            return self._doc.starts
        return [token.idx for token in self._doc]

    @cached_property
    def ends(self) -> list[int]:
        """RETURNS (list[int]): End character of each token."""
        if isinstance(self._doc, WindowText):
            return self._doc.ends
        return [token.idx + len(token) for token in self._doc]

    @cached_property
    def _exact(self) -> "_TokenizedText":
        return _TokenizedText(self.text, self.starts, self.ends)

    @cached_property
    def _is_folded(self) -> bool:
        return not self.ignore_case and unicodedata.is_normalized("NFC", self.text)

    def find(self, string: str) -> list[list[CharSpan]]:
        """Find the occurrences of a string, best first. Within a rank they are in reading order and
        do not overlap, as in `str.count`.

        string (str): The string, with spaces for line breaks, not empty.
        RETURNS (list[list[CharSpan]]): Four ranks: occurrences with token boundaries at both ends,
            with the same code points, then with equivalent ones; occurrences that start or end
            inside a token, with the same code points, then with equivalent ones.
        """
        ranks = self._exact.find(string)
        if self._is_folded and unicodedata.is_normalized("NFC", string):
            return [ranks[0], [], ranks[1], []]
        offsets, folded = self._folded
        exact = {char_span for rank in ranks for char_span in rank}
        equivalent = [
            [
                char_span
                for start, end in rank
                if start in offsets
                and end in offsets
                and (char_span := (offsets[start], offsets[end])) not in exact
            ]
            for rank in folded.find(self.fold(string))
        ]
        return [ranks[0], equivalent[0], ranks[1], equivalent[1]]

    def fold(self, string: str) -> str:
        """RETURNS (str): The form that all equivalent strings have in common: Unicode's normal form
        C, with case folding if case is ignored."""
        if not self.ignore_case:
            return unicodedata.normalize("NFC", string)
        if string.isascii():
            return string.casefold()
        return "".join(map(self._fold_character, _characters(string)))

    def at_tokens(self, char_span: CharSpan) -> bool:
        """RETURNS (bool): Whether the span starts with a token and ends with a token."""
        start, end = self.expand(char_span)
        return (self.starts[start], self.ends[end - 1]) == char_span

    def expand(self, char_span: CharSpan) -> tuple[int, int]:
        """RETURNS (tuple[int, int]): Index of the first token that the span overlaps, and the index
        after the last one."""
        return bisect_right(self.starts, char_span[0]) - 1, bisect_left(self.starts, char_span[1])

    def _fold_character(self, character: str) -> str:
        character = unicodedata.normalize("NFC", character)
        if self.ignore_case:
            character = unicodedata.normalize("NFC", character.casefold())
        return character

    @cached_property
    def _folded(self) -> "tuple[dict[int, int], _TokenizedText]":
        """RETURNS (tuple[dict[int, int], _TokenizedText]): Offset in the text by offset in the
        folded text, for each edge of a character; the folded text."""
        characters: list[str] = []
        offsets = {0: 0}
        length = folded_length = 0
        for character in _characters(self.text):
            characters.append(self._fold_character(character))
            length += len(character)
            folded_length += len(characters[-1])
            offsets[folded_length] = length
        back = {offset: i for i, offset in offsets.items()}
        starts = [back[start] for start in self.starts if start in back]
        ends = [back[end] for end in self.ends if end in back]
        return offsets, _TokenizedText("".join(characters), starts, ends)


class _TokenizedText:
    """A text with the offsets at which its tokens start and end."""

    def __init__(self, text: str, starts: Sequence[int], ends: Sequence[int]) -> None:
        self.text = text
        self.starts = starts
        self.ends = set(ends)

    def find(self, string: str) -> tuple[list[CharSpan], list[CharSpan]]:
        """RETURNS (tuple[list[CharSpan], list[CharSpan]]): Occurrences with token boundaries at
        both ends, and those that start or end inside a token."""
        at_tokens = list(self._find_at_tokens(string))
        known = set(at_tokens)
        inside = [char_span for char_span in self._find_all(string) if char_span not in known]
        return at_tokens, inside

    def _find_at_tokens(self, string: str) -> Iterator[CharSpan]:
        start = self.text.find(string)
        while start >= 0:
            # Continue at the next token: a long run of one character matches at every offset.
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

    def _find_all(self, string: str) -> Iterator[CharSpan]:
        start = self.text.find(string)
        while start >= 0:
            end = start + len(string)
            yield start, end
            start = self.text.find(string, end)


def _characters(text: str) -> Iterator[str]:
    """Split a text into parts that can be normalised separately.

    YIELDS (str): A character with its combining marks, or several characters that compose (Hangul).
    """
    start = 0
    for i in range(1, len(text)):
        if not _continues(text, start, i):
            yield text[start:i]
            start = i
    if text:
        yield text[start:]


def _continues(text: str, start: int, i: int) -> bool:
    """RETURNS (bool): Whether the code point at `i` belongs to the character that starts at
    `start`."""
    if text[i] < "\u0300":
        return False
    if unicodedata.category(text[i]).startswith("M"):
        return True
    apart = unicodedata.normalize("NFC", text[start:i]) + unicodedata.normalize("NFC", text[i])
    return unicodedata.normalize("NFC", text[start : i + 1]) != apart
