"""Which tokens can say which strings of a text: edges between the bytes of the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..tokenization.arrays import Ints
from ..tokenization.token_bytes import BREAK, TokenBytes

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
    once (Ints): Of the edges out of START one a token.
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
    once: Ints
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
    """Edges of several texts, one text behind the other; `at` is the byte that an edge begins at,
    and of those out of START or AFTER the one where the mention starts."""

    at: Ints
    dst: Ints
    token: Ints
    need: Ints

    def where(self, kept: NDArray[np.bool_] | Ints) -> _Edges:
        """RETURNS (_Edges): Some of them."""
        return _Edges(*(column[kept] for column in self))


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
    RETURNS (list[Lattice]): One a document, as views of arrays for all.
    """
    texts = [
        _bytes(passage, one.removeprefix(pieces.prefix))
        for passage, one in zip(passages, read, strict=True)
    ]
    sizes = np.array([len(one.text) + 1 for one in texts])
    offsets = np.cumsum(sizes) - sizes
    owner = np.repeat(np.arange(len(texts)), sizes)
    raw = b" ".join([*(one.text for one in texts), b""])
    raw = raw.replace(b"\n", b" ").replace(b"\r", b" ")  # mentions are said on one line
    joined = np.frombuffer(raw, dtype=np.uint8).astype(np.uint16)
    joined[offsets + sizes - 1] = BREAK
    starts = _joined([one.starts for one in texts], offsets)
    is_start, is_end = np.zeros((2, len(joined)), dtype=bool)
    is_start[starts] = True
    is_end[_joined([one.ends for one in texts], offsets)] = True

    src, dst, token = pieces.tokens_at(joined, np.flatnonzero(joined != BREAK))
    need = _need(src, dst, is_end, most)
    inner = _Edges(src, dst, token, need[dst])
    inner = inner.where(inner.need < most)
    begins = np.flatnonzero(is_start[inner.at])
    if pieces.prefix:
        src, dst, token = pieces.tokens_at(joined, starts, first=True)
        opening = _Edges(src, dst, token, need[dst])
        opening = opening.where(opening.need < most)
    else:
        opening = inner.where(begins)
    if pieces.prefix_token is None:
        again = inner.where(begins[:0])
    else:
        # The prefix first, then what the text has at any start: these edges stand twice.
        again = inner.where(begins)
        prefixes = _prefixes(again, starts, owner, pieces.prefix_token, most)
        opening = _Edges(*map(np.concatenate, zip(opening, prefixes, strict=True)))
        opening = opening.where(np.argsort(opening.at, kind="stable"))
    return _split(texts, opening, again, inner, is_end, sizes, owner, len(pieces.prefix))


def _prefixes(again: _Edges, starts: Ints, owner: Ints, token: int, most: int) -> _Edges:
    """RETURNS (_Edges): From START at any start of the texts to AFTER, where there are edges out of
    AFTER that end in time."""
    least = np.full(owner[-1] + 1, FAR)
    np.minimum.at(least, owner[again.at], again.need + 1)
    least = least[owner[starts]]
    edges = _Edges(starts, np.full(len(starts), AFTER), np.full(len(starts), token), least)
    return edges.where(least < most)


def _split(
    texts: Sequence[_Bytes],
    opening: _Edges,
    again: _Edges,
    inner: _Edges,
    is_end: NDArray[np.bool_],
    sizes: Ints,
    owner: Ints,
    prefix: int,
) -> list[Lattice]:
    """RETURNS (list[Lattice]): One a text: edges out of START, out of AFTER, then the others."""
    stops = np.cumsum(sizes)
    offsets = stops - sizes
    edges = _Edges(*map(np.concatenate, zip(opening, again, inner, strict=True)))
    document = owner[edges.at]
    offset = offsets[document]
    src = edges.at - offset
    place = src[: len(opening.at)].copy()
    src[: len(opening.at)] = START
    src[len(opening.at) : len(opening.at) + len(again.at)] = AFTER
    dst = np.where(edges.dst == AFTER, AFTER, edges.dst - offset)
    order = np.argsort(document, kind="stable")
    src, dst, token, need = (part[order] for part in (src, dst, edges.token, edges.need))

    def bounds(documents: Ints) -> list[int]:
        counts = np.bincount(documents, minlength=len(texts))
        return [0, *np.cumsum(counts).tolist()]

    edge, opens, byte = bounds(document), bounds(document[: len(place)]), [0, *stops.tolist()]
    # Documents come in order there as well: what is new in one is so among all.
    opening_token = edges.token[: len(place)]
    vocabulary = int(opening_token.max(initial=0)) + 1
    once = _firsts(document[: len(place)] * vocabulary + opening_token)
    once_of = bounds(document[once])
    once -= np.array(opens)[document[once]]
    return [
        Lattice(
            src[edge[i] : edge[i + 1]],
            dst[edge[i] : edge[i + 1]],
            token[edge[i] : edge[i + 1]],
            need[edge[i] : edge[i + 1]],
            place[opens[i] : opens[i + 1]],
            once[once_of[i] : once_of[i + 1]],
            is_end[byte[i] : byte[i + 1]],
            one.chars,
            prefix,
        )
        for i, one in enumerate(texts)
    ]


def _firsts(keys: Ints) -> Ints:
    """RETURNS (Ints): Index of one of each group of equal keys, rising."""
    order = np.argsort(keys, kind="stable")
    rising = keys[order]
    return np.sort(order[np.diff(rising, prepend=-1) != 0])


def _joined(parts: Sequence[Ints], offsets: Ints) -> Ints:
    return np.concatenate(parts) + np.repeat(offsets, [len(part) for part in parts])


def _need(src: Ints, dst: Ints, is_end: NDArray[np.bool_], most: int) -> Ints:
    """RETURNS (Ints): Fewest tokens from each byte to an end, FAR where it is `most` or more."""
    need = np.where(is_end, 0, FAR)
    for n_tokens in range(1, most):
        open_edges = np.flatnonzero(need[src] > n_tokens)
        src, dst = src[open_edges], dst[open_edges]
        found = src[need[dst] < n_tokens]
        if not len(found):
            break
        need[found] = n_tokens
    return need


def _bytes(passage: Passage, read: bytes) -> _Bytes:
    text, tokens = passage
    own = text.encode("utf8", "replace")
    chars = None
    if own == read:
        is_plain = len(own) == len(text)  # a byte a character
        byte_of = np.arange(len(text) + 1) if is_plain else _byte_of(own)
        chars = byte_of
        if not is_plain:
            chars = np.full(len(own) + 1, -1)
            chars[byte_of] = np.arange(len(byte_of))
        if tokens is not None:
            bounds = np.asarray(tokens, dtype=np.int64).reshape(-1, 2)
            bounds = bounds if is_plain else byte_of[bounds]
            return _Bytes(read, bounds[:, 0], bounds[:, 1], chars)
    raw = np.frombuffer(read + b" ", dtype=np.uint8)
    begins = (raw & 0xC0) != 0x80
    blank = np.isin(raw, np.frombuffer(BLANKS, dtype=np.uint8))
    starts = np.flatnonzero(begins & ~blank)
    ends = 1 + np.flatnonzero(begins[1:] & ~blank[:-1])
    return _Bytes(read, starts, ends, chars)


def _byte_of(raw: bytes) -> Ints:
    """RETURNS (Ints): First byte of each character, and the end [characters + 1]."""
    begins = (np.frombuffer(raw, dtype=np.uint8) & 0xC0) != 0x80
    return np.append(np.flatnonzero(begins), len(raw))
