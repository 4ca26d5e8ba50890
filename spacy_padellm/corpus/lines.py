"""Readers of the lines and of the JSON values of a file, with their line numbers."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .json_array import JsonArray, is_array
from .record import BadRecord, short_repr

# Called with the number of bytes read since the last call.
OnProgress = Callable[[int], object]


def read_lines(path: Path, on_progress: OnProgress) -> Iterator[tuple[int, str | BadRecord]]:
    """Read the lines of a UTF-8 file, without their line breaks. Only a line feed ends a line.

    path (Path): The file.
    on_progress (OnProgress): Called with the number of bytes read since the last call.
    YIELDS (tuple[int, str | BadRecord]): Line number, from 1, and the line or the error.
    """
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            on_progress(len(raw))
            if number == 1:
                raw = raw.removeprefix(codecs.BOM_UTF8)
            try:
                yield number, raw.decode("utf8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                yield number, BadRecord(f"not UTF-8: {error.reason} at byte {error.start}")


def read_values(path: Path, on_progress: OnProgress) -> Iterator[tuple[int, Any]]:
    """Read the JSON values of a file: one per line, or the elements of a single array. Blank lines
    are skipped.

    path (Path): The file.
    on_progress (OnProgress): Called with the number of bytes read since the last call.
    YIELDS (tuple[int, Any]): Number of the line on which the value starts, and the value; for an
        invalid value a BadRecord.
    RAISES (UnreadableArray): An array that is cut off or has a fault: the start of its next element
        is then unknown.
    """
    if is_array(path):
        yield from JsonArray(path, on_progress).elements()
        return
    for number, line in read_lines(path, on_progress):
        if isinstance(line, BadRecord):
            yield number, line
        elif line.strip():
            yield number, parse_json(line)


def parse_json(line: str) -> Any:
    """RETURNS (Any): The JSON value of a line; a BadRecord with the error for invalid JSON."""
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        return BadRecord(f"not JSON: {error.msg} at character {error.pos + 1}: {short_repr(line)}")
    except (ValueError, RecursionError) as error:  # a number of 5000 digits, 5000 brackets
        return BadRecord(f"not JSON that can be read: {error}")
