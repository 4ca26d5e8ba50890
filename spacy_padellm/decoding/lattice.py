"""The token sequences that spell strings of a text: edges between byte offsets of the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..tokenization.arrays import Ints
from ..tokenization.token_bytes import BREAK, TokenBytes

START = -1  # node before the first token: of its own, so that no mention is empty
AFTER = -2  # node after the tokenizer's prefix, where that is a token of its own
FAR = 1 << 30
BLANKS = b" \t\n\r"


class ConstraintText(NamedTuple):
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
    """The tokens that spell a text, from the start of a mention to its end.

    A node is a byte offset of the text, from 0 to its length: the end of the tokens so far. An edge
    is a token that spells the bytes between two nodes. Edges from which no mention can end within
    the most tokens of one are left out.

    src, dst (Ints): Nodes of each edge [edges]: a byte offset, START or AFTER.
    token (Ints): Token of each edge [edges].
    need (Ints): Fewest tokens from `dst` to an end [edges].
    start_byte (Ints): Byte offset at which a mention starts, for each edge out of START; these
        edges come first, by offset [edges out of START].
    distinct (Ints): Of the edges out of START one for each distinct token.
    is_end (NDArray[np.bool_]): Whether a mention can end at a byte offset [bytes + 1].
    chars (Ints | None): Character of the document at each byte [bytes + 1], -1 inside a character.
        None where the tokenizer reads another text than the document's.
    prefix (int): Bytes that the tokenizer puts before each text.
    """

    src: Ints
    dst: Ints
    token: Ints
    need: Ints
    start_byte: Ints
    distinct: Ints
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
    """Edges of several texts, one text after the other; `at` is the byte offset that an edge begins
    at, and of those out of START or AFTER the offset where the mention starts."""

    at: Ints
    dst: Ints
    token: Ints
    need: Ints

    def where(self, kept: NDArray[np.bool_] | Ints) -> _Edges:
        """RETURNS (_Edges): A selection of the edges."""
        return _Edges(*(column[kept] for column in self))


def build_lattices(
    documents: Sequence[ConstraintText],
    tokenized: Sequence[bytes],
    token_bytes: TokenBytes,
    most: int,
) -> list[Lattice]:
    """Build the lattices of several texts at once.

    documents (Sequence[ConstraintText]): The documents.
    tokenized (Sequence[bytes]): The bytes of the tokens of each document's text in the prompt.
        Where these are not the document's text (a tokenizer that normalises, a character that it
        lacks), mentions are strings of them.
    token_bytes (TokenBytes): The bytes of the vocabulary's tokens.
    most (int): Most tokens of a mention.
    RETURNS (list[Lattice]): One lattice per document, as views of joined arrays.
    """
    texts = [
        _bytes(document, text.removeprefix(token_bytes.prefix))
        for document, text in zip(documents, tokenized, strict=True)
    ]
    sizes = np.array([len(text.text) + 1 for text in texts])
    offsets = np.cumsum(sizes) - sizes
    owner = np.repeat(np.arange(len(texts)), sizes)
    raw = b" ".join([*(text.text for text in texts), b""])
    raw = raw.replace(b"\n", b" ").replace(b"\r", b" ")  # mentions are generated on one line
    joined = np.frombuffer(raw, dtype=np.uint8).astype(np.uint16)
    joined[offsets + sizes - 1] = BREAK
    starts = _joined([text.starts for text in texts], offsets)
    is_start, is_end = np.zeros((2, len(joined)), dtype=bool)
    is_start[starts] = True
    is_end[_joined([text.ends for text in texts], offsets)] = True

    src, dst, token = token_bytes.tokens_at(joined, np.flatnonzero(joined != BREAK))
    need = _need(src, dst, is_end, most)
    inner_edges = _Edges(src, dst, token, need[dst])
    inner_edges = inner_edges.where(inner_edges.need < most)
    begins = np.flatnonzero(is_start[inner_edges.at])
    if token_bytes.prefix:
        src, dst, token = token_bytes.tokens_at(joined, starts, first=True)
        start_edges = _Edges(src, dst, token, need[dst])
        start_edges = start_edges.where(start_edges.need < most)
    else:
        start_edges = inner_edges.where(begins)
    if token_bytes.prefix_token is None:
        after_edges = inner_edges.where(begins[:0])
    else:
        # The prefix first, then the edges at any start: these edges occur twice.
        after_edges = inner_edges.where(begins)
        prefixes = _prefixes(after_edges, starts, owner, token_bytes.prefix_token, most)
        start_edges = _Edges(*map(np.concatenate, zip(start_edges, prefixes, strict=True)))
        start_edges = start_edges.where(np.argsort(start_edges.at, kind="stable"))
    return _split(
        texts, start_edges, after_edges, inner_edges, is_end, sizes, owner, len(token_bytes.prefix)
    )


def _prefixes(after_edges: _Edges, starts: Ints, owner: Ints, token: int, most: int) -> _Edges:
    """RETURNS (_Edges): From START at any start of the texts to AFTER, where there are edges out of
    AFTER that end in time."""
    least = np.full(owner[-1] + 1, FAR)
    np.minimum.at(least, owner[after_edges.at], after_edges.need + 1)
    least = least[owner[starts]]
    edges = _Edges(starts, np.full(len(starts), AFTER), np.full(len(starts), token), least)
    return edges.where(least < most)


def _split(
    texts: Sequence[_Bytes],
    start_edges: _Edges,
    after_edges: _Edges,
    inner_edges: _Edges,
    is_end: NDArray[np.bool_],
    sizes: Ints,
    owner: Ints,
    prefix: int,
) -> list[Lattice]:
    """RETURNS (list[Lattice]): One per text: edges out of START, out of AFTER, then the others."""
    stops = np.cumsum(sizes)
    offsets = stops - sizes
    edges = _Edges(*map(np.concatenate, zip(start_edges, after_edges, inner_edges, strict=True)))
    document = owner[edges.at]
    offset = offsets[document]
    src = edges.at - offset
    start_byte = src[: len(start_edges.at)].copy()
    src[: len(start_edges.at)] = START
    src[len(start_edges.at) : len(start_edges.at) + len(after_edges.at)] = AFTER
    dst = np.where(edges.dst == AFTER, AFTER, edges.dst - offset)
    order = np.argsort(document, kind="stable")
    src, dst, token, need = (part[order] for part in (src, dst, edges.token, edges.need))

    def bounds(documents: Ints) -> list[int]:
        counts = np.bincount(documents, minlength=len(texts))
        return [0, *np.cumsum(counts).tolist()]

    edge, starts_of = bounds(document), bounds(document[: len(start_byte)])
    byte = [0, *stops.tolist()]
    # Documents come in order there as well: a token that is new in one is new among all.
    opening_token = edges.token[: len(start_byte)]
    vocabulary = int(opening_token.max(initial=0)) + 1
    distinct = _firsts(document[: len(start_byte)] * vocabulary + opening_token)
    distinct_of = bounds(document[distinct])
    distinct -= np.array(starts_of)[document[distinct]]
    return [
        Lattice(
            src[edge[i] : edge[i + 1]],
            dst[edge[i] : edge[i + 1]],
            token[edge[i] : edge[i + 1]],
            need[edge[i] : edge[i + 1]],
            start_byte[starts_of[i] : starts_of[i + 1]],
            distinct[distinct_of[i] : distinct_of[i + 1]],
            is_end[byte[i] : byte[i + 1]],
            text.chars,
            prefix,
        )
        for i, text in enumerate(texts)
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
        reached = src[need[dst] < n_tokens]
        if not len(reached):
            break
        need[reached] = n_tokens
    return need


def _bytes(document: ConstraintText, tokenized: bytes) -> _Bytes:
    text, tokens = document
    own = text.encode("utf8", "replace")
    chars = None
    if own == tokenized:
        is_plain = len(own) == len(text)  # one byte per character
        byte_of = np.arange(len(text) + 1) if is_plain else _byte_of(own)
        chars = byte_of
        if not is_plain:
            chars = np.full(len(own) + 1, -1)
            chars[byte_of] = np.arange(len(byte_of))
        if tokens is not None:
            bounds = np.asarray(tokens, dtype=np.int64).reshape(-1, 2)
            bounds = bounds if is_plain else byte_of[bounds]
            return _Bytes(tokenized, bounds[:, 0], bounds[:, 1], chars)
    raw = np.frombuffer(tokenized + b" ", dtype=np.uint8)
    begins = (raw & 0xC0) != 0x80
    blank = np.isin(raw, np.frombuffer(BLANKS, dtype=np.uint8))
    starts = np.flatnonzero(begins & ~blank)
    ends = 1 + np.flatnonzero(begins[1:] & ~blank[:-1])
    return _Bytes(tokenized, starts, ends, chars)


def _byte_of(raw: bytes) -> Ints:
    """RETURNS (Ints): First byte of each character, and the end [characters + 1]."""
    begins = (np.frombuffer(raw, dtype=np.uint8) & 0xC0) != 0x80
    return np.append(np.flatnonzero(begins), len(raw))
