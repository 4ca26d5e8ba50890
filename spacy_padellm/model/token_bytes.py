"""The bytes that each token of a vocabulary stands for; no tokenizer tells them directly."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from .codec import Codec

PROBES = ("a", "Paris 1998", "naïve — 北京 😀", "  two\tspaces,\nline")
BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")


class TokenBytes:
    """Tokens as bytes of UTF-8, and which tokens a text can go on with.

    codec (Codec): The tokenizer.
    RAISES (ValueError): A tokenizer whose tokens can't be read as bytes.
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
                "which joint_starts needs."
            )
        self._start = prefix
        self._ids: dict[bytes, int] = {}
        for token in sorted(range(len(self._bytes)), key=partial(_is_byte, codec.tokenizer)):
            if piece := self._bytes[token]:
                self._ids.setdefault(piece, token)
        self._beginnings = {piece[:n] for piece in self._ids for n in range(1, len(piece) + 1)}

    def text(self, ids: Sequence[int]) -> bytes:
        """RETURNS (bytes): What tokens say; a special token says nothing."""
        return b"".join(self._bytes[token] or b"" for token in ids)

    def first_tokens(self, text: bytes, start: int) -> Iterator[int]:
        """Tokens that can be the first of a mention.

        text (bytes): A text in UTF-8.
        start (int): Where in it the mention starts.
        YIELDS (int): Each token that stands for the text from there on, shortest first; what the
            tokenizer puts before each text belongs to it.
        """
        for end in range(start + (not self._start), len(text) + 1):
            piece = self._start + text[start:end]
            if piece not in self._beginnings:
                return
            if (token := self._ids.get(piece)) is not None:
                yield token

    def _prefix(self, codec: Codec) -> bytes | None:
        """RETURNS (bytes | None): What the tokenizer puts before each text; None if the bytes of
        the probes don't come back."""
        said = [self.text(codec.encode(probe)) for probe in PROBES]
        for prefix in (b"", b" "):
            if said == [prefix + probe.encode() for probe in PROBES]:
                return prefix
        return None


def _read(tokenizer: Any, reading: Callable[[str], bytes]) -> list[bytes | None]:
    added = {int(number): str(piece) for piece, number in tokenizer.get_added_vocab().items()}
    special = set(tokenizer.all_special_ids)
    found: list[bytes | None] = []
    for number, piece in enumerate(tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))):
        if number in special or piece is None:
            found.append(None)
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
