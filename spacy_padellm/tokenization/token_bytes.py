"""The bytes of each token of a vocabulary, derived from the tokenizer's pieces."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Ints
from .codec import Codec

BYTE_PROBES = ("a", "Paris 1998", "naïve — 北京 😀", "  two\tspaces,\nline")
BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")
BREAK = 256  # separates texts; no token has this byte


class TokenBytes:
    """The tokens of a vocabulary as UTF-8 bytes, and a search for tokens in texts.

    codec (Codec): The tokenizer.
    RAISES (ValueError): A tokenizer whose tokens can't be converted to bytes.

    prefix (bytes): Bytes that the tokenizer adds before each text.
    prefix_token (int | None): The token with exactly these bytes.
    sizes (Ints): Number of bytes of each token [vocabulary].
    """

    def __init__(self, codec: Codec):
        for make_converter in (_byte_level, _sentencepiece):
            self._bytes = _vocabulary_bytes(codec.tokenizer, make_converter())
            prefix = self._prefix(codec)
            if prefix is not None:
                break
        else:
            raise ValueError(
                f"The tokens of {codec.tokenizer.name_or_path!r} can't be read as bytes of a text, "
                "which constrained and joint_starts need."
            )
        self.prefix = prefix
        self.sizes = np.array([len(piece or b"") for piece in self._bytes])
        ids: dict[bytes, int] = {}
        for token in sorted(range(len(self._bytes)), key=partial(_is_byte, codec.tokenizer)):
            if piece := self._bytes[token]:
                ids.setdefault(piece, token)
        self.prefix_token = ids.get(prefix)
        self._trie = _Trie(ids)

    def text(self, ids: Sequence[int]) -> bytes:
        """RETURNS (bytes): The bytes of tokens; a special token has none."""
        return b"".join([self._bytes[token] for token in ids])

    def tokens_at(
        self, text: NDArray[np.uint16], offsets: Ints, *, first: bool = False
    ) -> tuple[Ints, Ints, Ints]:
        """Find the tokens whose bytes follow at some offsets of a text. Of several tokens with the
        same bytes, one is found.

        text (NDArray[np.uint16]): UTF-8 bytes of one or more texts, each followed by BREAK [n].
        offsets (Ints): Byte offsets in `text`.
        first (bool): Whether the tokens are the first of a mention, so that `prefix` belongs to
            their bytes.
        RETURNS (tuple[Ints, Ints, Ints]): Start and end byte offset and token id of each token
            found, ordered by start, then end.
        """
        start, end, token = self._trie.walk(text, offsets, self.prefix if first else b"")
        order = np.argsort(start, kind="stable")
        return start[order], end[order], token[order]

    def _prefix(self, codec: Codec) -> bytes | None:
        """RETURNS (bytes | None): Bytes that the tokenizer adds before each text; None if the bytes
        of the encoded probes differ from the probes."""
        encoded = [self.text(codec.encode(probe)) for probe in BYTE_PROBES]
        probes = [probe.lower() if codec.ignores_case else probe for probe in BYTE_PROBES]
        for prefix in (b"", b" "):
            if encoded == [prefix + probe.encode() for probe in probes]:
                return prefix
        return None


class _Trie:
    """A trie of the tokens' bytes, walked from many offsets of a text at once.

    ids (Mapping[bytes, int]): Token id by the token's bytes.
    """

    def __init__(self, ids: Mapping[bytes, int]):
        # The nodes of the first bytes come first: a small table holds the children of these nodes
        # and of the root.
        children = {byte: i for i, byte in enumerate(sorted({piece[0] for piece in ids}), 1)}
        n_rows = 1 + len(children)
        tokens = [-1] * n_rows
        for piece, token in ids.items():
            node = 0
            for byte in piece:
                key = node << 9 | byte
                if (child := children.get(key)) is None:
                    child = children[key] = len(tokens)
                    tokens.append(-1)
                node = child
            tokens[node] = token
        order = sorted(children)
        # No node has the last key; with it every search finds an index.
        narrow: Any = np.int32 if len(tokens) < 1 << 22 else np.int64
        self._keys = np.array([*order, len(tokens) << 9], dtype=narrow)
        self._children = np.array([*(children[key] for key in order), 0], dtype=narrow)
        self._tokens = np.array(tokens, dtype=np.int64)
        self._table = np.zeros(n_rows << 9, dtype=narrow)
        near = self._keys < n_rows << 9
        self._table[self._keys[near]] = self._children[near]

    def walk(
        self, text: NDArray[np.uint16], starts: Ints, prefix: bytes
    ) -> tuple[Ints, Ints, Ints]:
        """RETURNS (tuple[Ints, Ints, Ints]): As `TokenBytes.tokens_at`, ordered by the end only
        among tokens with the same start."""
        matches: list[tuple[Ints, Ints, Ints]] = []
        nodes = np.zeros(len(starts), dtype=self._keys.dtype)
        ends = starts
        depth = 0
        for byte in prefix:
            nodes = self._follow(nodes, np.full(len(nodes), byte, dtype=np.uint16), depth)[1]
            starts = starts[: len(nodes)]
            ends = ends[: len(nodes)]
            depth += 1
        while len(starts):
            alive, nodes = self._follow(nodes, text[ends], depth)
            starts, ends = starts[alive], ends[alive] + 1
            tokens = self._tokens[nodes]
            is_token = np.flatnonzero(tokens >= 0)
            matches.append((starts[is_token], ends[is_token], tokens[is_token]))
            depth += 1
        empty = np.zeros(0, dtype=np.int64)
        columns = zip(*matches, strict=True) if matches else ((empty,),) * 3
        start, end, token = (np.concatenate(column) for column in columns)
        return start, end, token

    def _follow(
        self, nodes: NDArray[Any], byte: NDArray[np.uint16], depth: int
    ) -> tuple[Ints, NDArray[Any]]:
        """RETURNS (tuple[Ints, NDArray]): Indices of the nodes that have a child for their byte,
        and these children; all nodes are `depth` bytes deep."""
        keys = nodes << 9 | byte
        if depth < 2:
            child = self._table[keys]
            alive = np.flatnonzero(child)
            return alive, child[alive]
        index = np.searchsorted(self._keys, keys)
        alive = np.flatnonzero(self._keys[index] == keys)
        return alive, self._children[index[alive]]


def _vocabulary_bytes(tokenizer: Any, convert: Callable[[str], bytes]) -> list[bytes]:
    """RETURNS (list[bytes]): The bytes of each token; a special token has none."""
    added = {int(number): str(piece) for piece, number in tokenizer.get_added_vocab().items()}
    special = set(tokenizer.all_special_ids)
    converted: list[bytes] = []
    for number, piece in enumerate(tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))):
        if number in special or piece is None:
            converted.append(b"")
        elif number in added:
            converted.append(added[number].encode())
        else:
            converted.append(convert(piece))
    return converted


def _is_byte(tokenizer: Any, token: int) -> bool:
    return bool(BYTE_PIECE.fullmatch(tokenizer.convert_ids_to_tokens(token) or ""))


def _byte_level() -> Callable[[str], bytes]:
    """GPT-2's byte-level pieces: one printable character per byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    byte_of = {chr(byte): byte for byte in printable}
    byte_of.update({chr(256 + i): byte for i, byte in enumerate(others)})

    def convert(piece: str) -> bytes:
        return bytes(byte_of[c] for c in piece) if all(c in byte_of for c in piece) else b""

    return convert


def _sentencepiece() -> Callable[[str], bytes]:
    """SentencePiece's pieces: ▁ for a space, <0xHH> for a byte."""

    def convert(piece: str) -> bytes:
        byte = BYTE_PIECE.fullmatch(piece)
        return bytes([int(byte[1], 16)]) if byte else piece.replace("▁", " ").encode()

    return convert
