"""Formats of corpora, and the reader of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .json_records import OFFSETS, list_record, span_record
from .lines import OnProgress, read_lines, read_values
from .record import BadRecord, Record
from .tagged import DOCUMENT, read_conll, read_iob

FORMATS = ("spans", "lists", "iob", "conll", "docbin")
AUTO = "auto"
SUFFIX = ".spacy"
# spaCy's codes of the languages that are written without spaces.
UNSPACED = {"zh", "yue", "ja", "th", "lo", "my", "km", "bo"}
PEEK_CHARS = 1 << 16

Entry = tuple[int, Record | BadRecord]


@dataclass(frozen=True)
class Source:
    """The file of a corpus, and how to read it.

    path (Path): The file.
    format (str): One of FORMATS, other than "docbin".
    lang (str): spaCy's code of the language.
    offsets (str): Unit of the offsets of "lists": "token" or "char".
    exclusive_end (bool): Whether the end offsets of "lists" are exclusive.
    """

    path: Path
    format: str
    lang: str = "en"
    offsets: str = "token"
    exclusive_end: bool = False

    def __post_init__(self) -> None:
        if self.offsets not in OFFSETS:
            raise ValueError(
                f"Offsets are counted in one of {', '.join(OFFSETS)}, not in {self.offsets!r}."
            )

    def entries(self, on_progress: OnProgress) -> Iterator[Entry]:
        """Read the documents.

        on_progress (OnProgress): Called with the number of bytes read since the last call.
        YIELDS (Entry): The line number of a document and its record, or the number of a bad line
            and the error.
        """
        joiner = "" if self.lang in UNSPACED else " "
        if self.format == "conll":
            return read_conll(read_lines(self.path, on_progress), joiner)
        if self.format == "iob":
            return read_iob(read_lines(self.path, on_progress), joiner)
        return _records(read_values(self.path, on_progress), self._reader())

    def _reader(self) -> Callable[[Any], Record]:
        if self.format == "spans":
            return span_record
        return lambda value: list_record(value, self.offsets, self.exclusive_end)


def find_format(path: Path) -> str:
    """Find the format of a corpus by its suffix and its first lines.

    path (Path): A file, or a folder of .spacy files.
    RETURNS (str): One of FORMATS.
    RAISES (ValueError): A file in none of the formats.
    """
    if path.is_dir() or path.suffix == SUFFIX:
        return "docbin"
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        start = file.read(PEEK_CHARS).lstrip()
    if re.match(r"(\[\s*)?\{", start):
        return "spans"
    if re.match(r"(\[\s*)?\[", start):
        return "lists"
    for line in start.splitlines()[:20]:
        fields = line.split()
        if not fields:
            continue
        if fields[0] == DOCUMENT or (len(fields) > 1 and re.fullmatch(r"O|[B-U]-\S+", fields[-1])):
            return "conll"
        if all(re.fullmatch(r"\S+\|(O|[B-U]-\S+)", field) for field in fields):
            return "iob"
    raise ValueError(
        f"{path} does not start like any of the formats {', '.join(FORMATS)}: "
        f"{start[:60]!r}. Name its format with --format."
    )


def _records(values: Iterator[tuple[int, Any]], read: Callable[[Any], Record]) -> Iterator[Entry]:
    for line, value in values:
        if isinstance(value, BadRecord):
            yield line, value
            continue
        try:
            yield line, read(value)
        except BadRecord as error:
            yield line, error
