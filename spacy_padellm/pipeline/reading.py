"""Documents and their windows through a decoder, a bounded number of characters at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from spacy.tokens import Doc

from ..documents.occurrences import token_bounds
from ..documents.prediction import Prediction
from ..documents.windows import Divided
from ..tokenization.arrays import Ints

# Of texts that a decoder gets at once: it writes the trees of all of them first.
MOST_CHARACTERS = 1 << 18

# Texts, the bounds of their tokens, and token ids where these are known; out comes what is said.
Say = Callable[[list[str], list[Ints], list[list[int] | None]], list[Prediction]]


def read(docs: Sequence[Doc], divided: Divided, say: Say) -> list[Prediction]:
    """Let a decoder read documents, each as a whole or by its windows.

    docs (Sequence[Doc]): The documents.
    divided (Divided): Their windows.
    say (Say): The decoder, given texts, for each the start and end character of its tokens
        [tokens, 2], and the model's token ids where they are known.
    RETURNS (list[Prediction]): What was said of each document.
    """
    said: list[list[Prediction]] = [[] for _ in docs]
    group: list[_Passage] = []
    room = MOST_CHARACTERS
    for passage in _passages(docs, divided):
        if group and len(passage.text) > room:
            _say(group, say, said)
            group, room = [], MOST_CHARACTERS
        group.append(passage)
        room -= len(passage.text)
    _say(group, say, said)
    return [
        one[0] if parts is None else Prediction.of_windows(parts, one)
        for parts, one in zip(divided.windows, said, strict=True)
    ]


class _Passage(NamedTuple):
    """A text to read: a document's number, the text, bounds of its tokens, its ids if known."""

    doc: int
    text: str
    tokens: Ints
    ids: list[int] | None


def _say(group: Sequence[_Passage], say: Say, said: list[list[Prediction]]) -> None:
    if group:
        owners, texts, tokens, ids = map(list, zip(*group, strict=True))
        for i, prediction in zip(owners, say(texts, tokens, ids), strict=True):
            said[i].append(prediction)


def _passages(docs: Sequence[Doc], divided: Divided) -> Iterator[_Passage]:
    """YIELDS (_Passage): Documents and windows. A window has the bounds of its whole tokens: a
    mention has no edge where the window cuts a token."""
    for i, (doc, parts, ids) in enumerate(zip(docs, *divided, strict=True)):
        text, bounds = doc.text, token_bounds(doc)
        if parts is None:
            yield _Passage(i, text, bounds, ids)
            continue
        starts, ends = bounds[:, 0], bounds[:, 1]
        for start, end in parts:
            first, last = starts.searchsorted(start), ends.searchsorted(end, "right")
            whole = bounds[first : max(first, last)] - start
            yield _Passage(i, text[start:end], whole, None)
