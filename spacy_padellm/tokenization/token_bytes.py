"""The bytes that each token of a vocabulary stands for; no tokenizer tells them directly."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Ints
from .codec import Codec

PROBES = ("a", "Paris 1998", "naïve — 北京 😀", "  two\tspaces,\nline")
BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")
BREAK = 256  # stands between texts: a byte that no token has


class TokenBytes:
    """Tokens as bytes of UTF-8, and which tokens a text can go on with.

    codec (Codec): The tokenizer.
    RAISES (ValueError): A tokenizer whose tokens can't be read as bytes.

    prefix (bytes): What the tokenizer puts before each text.
    prefix_token (int | None): The token that is just that.
    sizes (Ints): Bytes of each token [vocabulary].
    """

    def __init__(self, codec: Codec):
        for reading in (_byte_level, _pieces):
            self._bytes = _read(codec.tokenizer, reading())
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
        """RETURNS (bytes): What tokens say; a special token says nothing."""
        return b"".join([self._bytes[token] for token in ids])

    def tokens_at(
        self, text: NDArray[np.uint16], places: Ints, *, first: bool = False
    ) -> tuple[Ints, Ints, Ints]:
        """Tokens that stand for a piece of a text; of several for one piece, one.

        text (NDArray[np.uint16]): Bytes of a text in UTF-8 [n], or of several, each followed by
            BREAK; the last item is BREAK.
        places (Ints): Where the pieces begin.
        first (bool): Whether the tokens are to be the first of a mention: what the tokenizer puts
            before each text then belongs to them.
        RETURNS (tuple[Ints, Ints, Ints]): Where each piece begins, where it ends, its token; by
            beginnings, then ends.
        """
        start, end, token = self._trie.walk(text, places, self.prefix if first else b"")
        order = np.argsort(start, kind="stable")
        return start[order], end[order], token[order]

    def _prefix(self, codec: Codec) -> bytes | None:
        """RETURNS (bytes | None): What the tokenizer puts before each text; None if the bytes of
        the probes don't come back."""
        said = [self.text(codec.encode(probe)) for probe in PROBES]
        probes = [probe.lower() if codec.ignores_case else probe for probe in PROBES]
        for prefix in (b"", b" "):
            if said == [prefix + probe.encode() for probe in probes]:
                return prefix
        return None


class _Trie:
    """Tokens by their bytes, to be followed in many places of a text at once."""

    def __init__(self, ids: Mapping[bytes, int]):
        # The nodes of the first bytes come first, so that the children of these and of the root
        # can be read off a small table.
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
        # The last key is never asked for: each search finds one.
        narrow: Any = np.int32 if len(tokens) < 1 << 22 else np.int64
        self._keys = np.array([*order, len(tokens) << 9], dtype=narrow)
        self._children = np.array([*(children[key] for key in order), 0], dtype=narrow)
        self._tokens = np.array(tokens, dtype=np.int64)
        self._table = np.zeros(n_rows << 9, dtype=narrow)
        near = self._keys < n_rows << 9
        self._table[self._keys[near]] = self._children[near]

    def walk(
        self, text: NDArray[np.uint16], places: Ints, prefix: bytes
    ) -> tuple[Ints, Ints, Ints]:
        """RETURNS (tuple[Ints, Ints, Ints]): As `TokenBytes.tokens_at`, in no order but that the
        pieces of one beginning come by their ends."""
        found: list[tuple[Ints, Ints, Ints]] = []
        nodes = np.zeros(len(places), dtype=self._keys.dtype)
        ends = places
        depth = 0
        for byte in prefix:
            nodes = self._follow(nodes, np.full(len(nodes), byte, dtype=np.uint16), depth)[1]
            places = places[: len(nodes)]
            ends = ends[: len(nodes)]
            depth += 1
        while len(places):
            alive, nodes = self._follow(nodes, text[ends], depth)
            places, ends = places[alive], ends[alive] + 1
            tokens = self._tokens[nodes]
            said = np.flatnonzero(tokens >= 0)
            found.append((places[said], ends[said], tokens[said]))
            depth += 1
        empty = np.zeros(0, dtype=np.int64)
        columns = zip(*found, strict=True) if found else ((empty,),) * 3
        starts, stops, said_tokens = (np.concatenate(column) for column in columns)
        return starts, stops, said_tokens

    def _follow(
        self, nodes: NDArray[Any], byte: NDArray[np.uint16], depth: int
    ) -> tuple[Ints, NDArray[Any]]:
        """RETURNS (tuple[Ints, NDArray]): Which of the nodes go on with their bytes, and where to;
        all nodes are as many bytes deep."""
        keys = nodes << 9 | byte
        if depth < 2:
            child = self._table[keys]
            alive = np.flatnonzero(child)
            return alive, child[alive]
        at = np.searchsorted(self._keys, keys)
        alive = np.flatnonzero(self._keys[at] == keys)
        return alive, self._children[at[alive]]


def _read(tokenizer: Any, reading: Callable[[str], bytes]) -> list[bytes]:
    """RETURNS (list[bytes]): What each token says; a special token says nothing."""
    added = {int(number): str(piece) for piece, number in tokenizer.get_added_vocab().items()}
    special = set(tokenizer.all_special_ids)
    found: list[bytes] = []
    for number, piece in enumerate(tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))):
        if number in special or piece is None:
            found.append(b"")
        elif number in added:
            found.append(added[number].encode())
        else:
            found.append(reading(piece))
    return found


def _is_byte(tokenizer: Any, token: int) -> bool:
    return bool(BYTE_PIECE.fullmatch(tokenizer.convert_ids_to_tokens(token) or ""))


def _byte_level() -> Callable[[str], bytes]:
    """GPT-2's reading: a printable character for each byte."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    byte_of = {chr(byte): byte for byte in shown}
    byte_of.update({chr(256 + i): byte for i, byte in enumerate(hidden)})

    def read(piece: str) -> bytes:
        return bytes(byte_of[c] for c in piece) if all(c in byte_of for c in piece) else b""

    return read


def _pieces() -> Callable[[str], bytes]:
    """SentencePiece's reading: ▁ for a space, <0xHH> for a byte."""

    def read(piece: str) -> bytes:
        byte = BYTE_PIECE.fullmatch(piece)
        return bytes([int(byte[1], 16)]) if byte else piece.replace("▁", " ").encode()

    return read
