"""Reader of a file that is one JSON array, element by element."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CHUNK_BYTES = 1 << 20
PEEK_BYTES = 1 << 16
# A longer element is taken for a fault in the JSON, so that memory stays bounded.
MAX_ELEMENT_CHARS = 1 << 26
WHITE_SPACE = re.compile(r"[ \t\r\n]*")
DECODER = json.JSONDecoder()


class UnreadableArray(ValueError):
    """A JSON array that can't be read to its end."""


def is_array(path: Path) -> bool:
    """RETURNS (bool): Whether a file starts like an array of lists or objects."""
    # A document in the form of a list starts with its text, so no line of such documents matches.
    with path.open("rb") as file:
        start = file.read(PEEK_BYTES).removeprefix(codecs.BOM_UTF8).lstrip()
    return start[:1] == b"[" and start[1:].lstrip()[:1] in (b"[", b"{")


class JsonArray:
    """The elements of an array that is a whole file, decoded while the file is read.

    path (Path): The file.
    on_progress (Callable[[int], object]): Called with the number of bytes read since the last call.
    """

    def __init__(self, path: Path, on_progress: Callable[[int], object]) -> None:
        self._path = path
        self._buffer = ""
        self._offset = 0  # in the buffer
        self._line = 1
        self._chunks = self._read_chunks(on_progress)

    def elements(self) -> Iterator[tuple[int, Any]]:
        """Decode the elements.

        YIELDS (tuple[int, Any]): Line number and value of each element.
        RAISES (UnreadableArray): An array that is cut off or is not valid JSON.
        """
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
            raise self._error("there is content after the array")

    def _read_chunks(self, on_progress: Callable[[int], object]) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        with self._path.open("rb") as file:
            while raw := file.read(CHUNK_BYTES):
                on_progress(len(raw))
                yield decoder.decode(raw)
            yield decoder.decode(b"", final=True)

    def _fill_buffer(self) -> bool:
        """RETURNS (bool): Whether another chunk was read; False at the end of the file."""
        try:
            chunk = next(self._chunks, None)
        except UnicodeDecodeError as error:
            raise self._error(f"not UTF-8: {error.reason}") from error
        if chunk is None:
            return False
        self._buffer = self._buffer[self._offset :] + chunk
        self._offset = 0
        return True

    def _advance(self, offset: int) -> None:
        self._line += self._buffer.count("\n", self._offset, offset)
        self._offset = offset

    def _peek(self) -> str:
        """RETURNS (str): The next character that is not white space, "" at the end."""
        while True:
            match = WHITE_SPACE.match(self._buffer, self._offset)
            self._advance(match.end() if match else self._offset)
            if self._offset < len(self._buffer) or not self._fill_buffer():
                return self._buffer[self._offset : self._offset + 1]

    def _skip(self, expected: str) -> None:
        if (char := self._peek()) != expected:
            raise self._error(f"expected {expected!r}, not {char!r}")
        self._advance(self._offset + 1)

    def _element(self) -> Any:
        while True:
            try:
                value, end = DECODER.raw_decode(self._buffer, self._offset)
            except (ValueError, RecursionError) as error:
                # The buffer is doubled before each retry, so that a long element needs few.
                size = len(self._buffer) - self._offset
                if size > MAX_ELEMENT_CHARS or not self._fill_buffer():
                    raise self._error(f"not JSON: {error}") from error
                while len(self._buffer) < 2 * size and self._fill_buffer():
                    pass
                continue
            self._advance(end)
            return value

    def _error(self, reason: str) -> UnreadableArray:
        return UnreadableArray(
            f"{self._path}, line {self._line}: {reason}. In an array a fault hides where the next "
            "element starts, so nothing after it can be read: correct the file, or write one "
            "document per line."
        )
