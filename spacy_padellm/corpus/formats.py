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

AUTO = "auto"
DOCBIN = "docbin"
DOCBIN_SUFFIX = ".spacy"
# spaCy's codes of the languages that are written without spaces.
UNSPACED = {"zh", "yue", "ja", "th", "lo", "my", "km", "bo"}
SNIFF_CHARS = 1 << 16

Entry = tuple[int, Record | BadRecord]


@dataclass(frozen=True)
class Source:
    """The file of a corpus, and how to read it.

    path (Path): The file.
    format (str): One of READERS.
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
        if self.format not in READERS:
            raise ValueError(
                f"The format of a source is one of {', '.join(READERS)}, not {self.format!r}."
            )
        if self.offsets not in OFFSETS:
            raise ValueError(
                f"Offsets are counted in one of {', '.join(OFFSETS)}, not in {self.offsets!r}."
            )

    @property
    def joiner(self) -> str:
        """RETURNS (str): The string between two tokens of the language."""
        return "" if self.lang in UNSPACED else " "

    def entries(self, on_progress: OnProgress) -> Iterator[Entry]:
        """Read the documents.

        on_progress (OnProgress): Called with the number of bytes read since the last call.
        YIELDS (Entry): The line number of a document and its record, or the number of a bad line
            and the error.
        """
        return READERS[self.format](self, on_progress)


def _read_spans(source: Source, on_progress: OnProgress) -> Iterator[Entry]:
    return _records(read_values(source.path, on_progress), span_record)


def _read_lists(source: Source, on_progress: OnProgress) -> Iterator[Entry]:
    def read(value: Any) -> Record:
        return list_record(value, source.offsets, source.exclusive_end)

    return _records(read_values(source.path, on_progress), read)


def _read_iob(source: Source, on_progress: OnProgress) -> Iterator[Entry]:
    return read_iob(read_lines(source.path, on_progress), source.joiner)


def _read_conll(source: Source, on_progress: OnProgress) -> Iterator[Entry]:
    return read_conll(read_lines(source.path, on_progress), source.joiner)


# The reader of each format of annotated texts.
READERS: dict[str, Callable[[Source, OnProgress], Iterator[Entry]]] = {
    "spans": _read_spans,
    "lists": _read_lists,
    "iob": _read_iob,
    "conll": _read_conll,
}
# DOCBIN has no reader: its Docs are copied unchanged.
FORMATS = (*READERS, DOCBIN)


def find_format(path: Path) -> str:
    """Find the format of a corpus by its suffix and its first lines.

    path (Path): A file, or a folder of .spacy files.
    RETURNS (str): One of FORMATS.
    RAISES (ValueError): A file in none of the formats.
    """
    if path.is_dir() or path.suffix == DOCBIN_SUFFIX:
        return DOCBIN
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        start = file.read(SNIFF_CHARS).lstrip()
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
