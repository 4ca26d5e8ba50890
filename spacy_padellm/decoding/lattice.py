"""Which tokens can say which strings of a text: edges between the bytes of the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..model.token_bytes import BREAK, TokenBytes
from ..tree import Ints

START = -1  # node before the first token: of its own, so that no mention is empty
AFTER = -2  # node after what the tokenizer puts before each text, where that is a token of its own
FAR = 1 << 30
BLANKS = b" \t\n\r"


class Passage(NamedTuple):
    """The text of a document, and where mentions may start and end in it.

    text (str): The text.
    tokens (Ints | None): Start and end character of each token that is not whitespace [tokens, 2],
        rising: mentions start where one starts and end where one ends. None for anywhere but
        beside a space.
    """

    text: str
    tokens: Ints | None = None


@dataclass(frozen=True)
class Lattice:
    """The tokens that a text can be said with, from the start of a mention to its end.

    A node is what has been said up to: a byte of the text, from 0 to its length. An edge is a token
    that stands for the bytes between two nodes. Only edges are here that lead to an end of a
    mention, within the most tokens that one may have.

    src, dst (Ints): Nodes of each edge [edges]: a byte, START or AFTER.
    token (Ints): Token of each edge [edges].
    need (Ints): Fewest tokens from `dst` to an end [edges].
    place (Ints): Byte at which a mention starts, for each edge out of START; these edges come
        first, by place [edges out of START].
    is_end (NDArray[np.bool_]): Whether a mention can end at a byte [bytes + 1].
    chars (Ints | None): Character of the document at each byte [bytes + 1], -1 inside a character.
        None where the tokenizer reads another text than the document's.
    prefix (int): Bytes that the tokenizer puts before each text.
    """

    src: Ints
    dst: Ints
    token: Ints
    need: Ints
    place: Ints
    is_end: NDArray[np.bool_]
    chars: Ints | None
    prefix: int


class _Bytes(NamedTuple):
    """A text as bytes, with legal starts and ends of mentions, and `Lattice.chars`."""

    text: bytes
    starts: Ints
    ends: Ints
    chars: Ints | None


class _Edges(NamedTuple):
    """Edges between bytes; in those of first tokens, `src` is where the mention starts."""

    src: Ints
    dst: Ints
    token: Ints

    def between(self, start: int, end: int) -> _Edges:
        """RETURNS (_Edges): Those of one document, counted from its own first byte."""
        at = slice(*np.searchsorted(self.src, (start, end)))
        return _Edges(self.src[at] - start, self.dst[at] - start, self.token[at])

    def where(self, kept: NDArray[np.bool_]) -> _Edges:
        """RETURNS (_Edges): Some of them."""
        return _Edges(self.src[kept], self.dst[kept], self.token[kept])


def lattices(
    passages: Sequence[Passage], read: Sequence[bytes], pieces: TokenBytes, most: int
) -> list[Lattice]:
    """Find the edges of texts, of all of them at once.

    passages (Sequence[Passage]): The documents.
    read (Sequence[bytes]): What the tokens of each document's text in the prompt say. Where that is
        not the document's text (a tokenizer that normalises, a character that it lacks), mentions
        are strings of what was read.
    pieces (TokenBytes): The tokens.
    most (int): Most tokens of a mention.
    RETURNS (list[Lattice]): One a document.
    """
    texts = [
        _bytes(passage, one.removeprefix(pieces.prefix))
        for passage, one in zip(passages, read, strict=True)
    ]
    sizes = np.array([len(one.text) + 1 for one in texts])
    offsets = np.cumsum(sizes) - sizes
    joined = np.full(int(sizes.sum()), BREAK, dtype=np.uint16)
    for one, offset in zip(texts, offsets, strict=True):
        joined[offset : offset + len(one.text)] = np.frombuffer(one.text, dtype=np.uint8)
    pairs = list(zip(texts, offsets, strict=True))
    starts = np.concatenate([one.starts + offset for one, offset in pairs])
    is_end = np.zeros(len(joined), dtype=bool)
    is_end[np.concatenate([one.ends + offset for one, offset in pairs])] = True

    inner = _Edges(*pieces.tokens_at(joined, np.flatnonzero(joined != BREAK)))
    opening = _Edges(*pieces.tokens_at(joined, starts, first=True))
    need = _need(inner, is_end, most)
    return [
        _lattice(
            one,
            inner.between(offset, offset + size),
            opening.between(offset, offset + size),
            need[offset : offset + size],
            pieces,
            most,
        )
        for one, offset, size in zip(texts, offsets, sizes, strict=True)
    ]


def _lattice(
    one: _Bytes, inner: _Edges, opening: _Edges, need: Ints, pieces: TokenBytes, most: int
) -> Lattice:
    inner = inner.where(need[inner.dst] < most)
    opening = opening.where(need[opening.dst] < most)
    place, dst, token, rest = opening.src, opening.dst, opening.token, need[opening.dst]
    sources = inner.src
    if pieces.prefix_token is not None:
        # The prefix first, then what the text has at any start: these edges stand twice.
        begins = np.isin(inner.src, one.starts)
        if begins.any():
            n = len(one.starts)
            least = int(need[inner.dst[begins]].min()) + 1
            place = np.concatenate([place, one.starts])
            dst = np.concatenate([dst, np.full(n, AFTER)])
            token = np.concatenate([token, np.full(n, pieces.prefix_token)])
            rest = np.concatenate([rest, np.full(n, least)])
            order = np.flatnonzero(rest < most)
            order = order[np.argsort(place[order], kind="stable")]
            place, dst, token, rest = place[order], dst[order], token[order], rest[order]
            sources = np.concatenate([np.full(int(begins.sum()), AFTER), sources])
            again = inner.where(begins)
            inner = _Edges(*(np.concatenate(pair) for pair in zip(again, inner, strict=True)))
    is_end = np.zeros(len(one.text) + 1, dtype=bool)
    is_end[one.ends] = True
    return Lattice(
        np.concatenate([np.full(len(place), START), sources]),
        np.concatenate([dst, inner.dst]),
        np.concatenate([token, inner.token]),
        np.concatenate([rest, need[inner.dst]]),
        place,
        is_end,
        one.chars,
        len(pieces.prefix),
    )


def _need(edges: _Edges, is_end: NDArray[np.bool_], most: int) -> Ints:
    """RETURNS (Ints): Fewest tokens from each byte to an end, FAR where it is `most` or more."""
    need = np.where(is_end, 0, FAR)
    if not len(edges.src):
        return need
    sources, first = np.unique(edges.src, return_index=True)
    for _ in range(most - 1):
        least = np.minimum(need[sources], np.minimum.reduceat(need[edges.dst], first) + 1)
        if np.array_equal(least, need[sources]):
            break
        need[sources] = least
    need[need >= most] = FAR
    return need


def _bytes(passage: Passage, read: bytes) -> _Bytes:
    text, tokens = passage
    own = text.encode("utf8", "replace")
    on_a_line = read.replace(b"\n", b" ").replace(b"\r", b" ")
    chars = None
    if own == read:
        byte_of = _byte_of(text, own)
        chars = np.full(len(own) + 1, -1)
        chars[byte_of] = np.arange(len(byte_of))
        if tokens is not None:
            bounds = byte_of[np.asarray(tokens, dtype=np.int64).reshape(-1, 2)]
            return _Bytes(on_a_line, bounds[:, 0], bounds[:, 1], chars)
    raw = np.frombuffer(on_a_line + b" ", dtype=np.uint8)
    begins = (raw & 0xC0) != 0x80
    blank = np.isin(raw, np.frombuffer(BLANKS, dtype=np.uint8))
    starts = np.flatnonzero(begins & ~blank)
    ends = 1 + np.flatnonzero(begins[1:] & ~blank[:-1])
    return _Bytes(on_a_line, starts, ends, chars)


def _byte_of(text: str, raw: bytes) -> Ints:
    """RETURNS (Ints): First byte of each character, and the end [characters + 1]."""
    if len(raw) == len(text):
        return np.arange(len(text) + 1)
    begins = (np.frombuffer(raw, dtype=np.uint8) & 0xC0) != 0x80
    return np.append(np.flatnonzero(begins), len(raw))
