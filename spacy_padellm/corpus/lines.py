"""The lines and JSON values of a file, one after another, with their line numbers."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .record import BadRecord, shown

CHUNK_BYTES = 1 << 20
PEEK_BYTES = 1 << 16
# A longer element of an array is taken for a fault in its JSON, so that memory stays bounded.
MAX_ELEMENT_CHARS = 1 << 26
BLANKS = re.compile(r"[ \t\r\n]*")
DECODER = json.JSONDecoder()

# Called with the number of bytes read.
Advance = Callable[[int], object]


class Unreadable(ValueError):
    """A file of which the rest can't be read."""


def read_lines(path: Path, advance: Advance) -> Iterator[tuple[int, str | BadRecord]]:
    """Lines of a UTF-8 file, without their line breaks. Only a line feed ends a line.

    path (Path): The file.
    advance (Advance): Called with the number of bytes read.
    YIELDS (tuple[int, str | BadRecord]): The line's number, from 1, and its text or what is wrong.
    """
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            advance(len(raw))
            if number == 1:
                raw = raw.removeprefix(codecs.BOM_UTF8)
            try:
                yield number, raw.decode("utf8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                yield number, BadRecord(f"not UTF-8: {error.reason} at byte {error.start}")


def read_values(path: Path, advance: Advance) -> Iterator[tuple[int, Any]]:
    """JSON values of a file: one a line, or the elements of one array. Blank lines are passed over.

    path (Path): The file.
    advance (Advance): Called with the number of bytes read.
    YIELDS (tuple[int, Any]): The number of the line that the value starts on, and the value or, as
        a BadRecord, what is wrong with it.
    RAISES (Unreadable): An array that breaks off or has a fault: where its next element starts is
        then unknown.
    """
    if _is_array(path):
        yield from _Array(path, advance).elements()
        return
    for number, line in read_lines(path, advance):
        if isinstance(line, BadRecord):
            yield number, line
        elif line.strip():
            yield number, parsed(line)


def parsed(line: str) -> Any:
    """RETURNS (Any): The JSON value that a line is, or as a BadRecord what is wrong with it."""
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        return BadRecord(f"not JSON: {error.msg} at character {error.pos + 1}: {shown(line)}")
    except (ValueError, RecursionError) as error:  # a number of 5000 digits, 5000 brackets
        return BadRecord(f"not JSON that can be read: {error}")


def _is_array(path: Path) -> bool:
    # A document in the form of a list starts with its text, so no line of one starts so.
    with path.open("rb") as file:
        start = file.read(PEEK_BYTES).removeprefix(codecs.BOM_UTF8).lstrip()
    return start[:1] == b"[" and start[1:].lstrip()[:1] in (b"[", b"{")


class _Array:
    """The elements of an array that is a whole file, decoded as it is read."""

    def __init__(self, path: Path, advance: Advance):
        self._path = path
        self._buffer = ""
        self._at = 0  # where in the buffer
        self._line = 1
        self._chunks = self._read(advance)

    def elements(self) -> Iterator[tuple[int, Any]]:
        """YIELDS (tuple[int, Any]): Line and value of each element."""
        self._skip("[")
        while True:
            self._peek()
            line = self._line
            yield line, self._element()
            if self._peek() == "]":
                break
            self._skip(",")
        self._skip("]")
        if self._peek():
            raise self._fault("something stands behind the array")

    def _read(self, advance: Advance) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        with self._path.open("rb") as file:
            while raw := file.read(CHUNK_BYTES):
                advance(len(raw))
                yield decoder.decode(raw)
            yield decoder.decode(b"", final=True)

    def _more(self) -> bool:
        try:
            chunk = next(self._chunks, None)
        except UnicodeDecodeError as error:
            raise self._fault(f"not UTF-8: {error.reason}") from error
        if chunk is None:
            return False
        self._buffer = self._buffer[self._at :] + chunk
        self._at = 0
        return True

    def _take(self, end: int) -> None:
        self._line += self._buffer.count("\n", self._at, end)
        self._at = end

    def _peek(self) -> str:
        """RETURNS (str): The next character that is not white space, "" at the end."""
        while True:
            match = BLANKS.match(self._buffer, self._at)
            self._take(match.end() if match else self._at)
            if self._at < len(self._buffer) or not self._more():
                return self._buffer[self._at : self._at + 1]

    def _skip(self, char: str) -> None:
        if (found := self._peek()) != char:
            raise self._fault(f"expected {char!r}, not {found!r}")
        self._take(self._at + 1)

    def _element(self) -> Any:
        while True:
            try:
                value, end = DECODER.raw_decode(self._buffer, self._at)
            except (ValueError, RecursionError) as error:
                # Each try reads as much again, so that a long element is decoded few times.
                size = len(self._buffer) - self._at
                if size > MAX_ELEMENT_CHARS or not self._more():
                    raise self._fault(f"not JSON: {error}") from error
                while len(self._buffer) < 2 * size and self._more():
                    pass
                continue
            self._take(end)
            return value

    def _fault(self, reason: str) -> Unreadable:
        return Unreadable(
            f"{self._path}, line {self._line}: {reason}. In an array a fault hides where the next "
            "element starts, so nothing after it can be read: mend the file, or write one document "
            "a line."
        )
