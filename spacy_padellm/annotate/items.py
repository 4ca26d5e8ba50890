"""Read the unparsed documents of a file, one by one."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from spacy.tokens import DocBin
from spacy.vocab import Vocab

from ..corpus.record import BadRecord

JSONL, TXT, SPACY, PARQUET = "jsonl", "txt", "spacy", "parquet"
KINDS = {".jsonl": JSONL, ".txt": TXT, ".spacy": SPACY, ".parquet": PARQUET}
GZ = ".gz"
PARQUET_ROWS = 256  # rows per read
# Errors of zlib, msgpack, numpy and pyarrow on damaged files; EOFError: a truncated .gz file.
DAMAGE = (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error)


class UnreadableInput(ValueError):
    """An input file that can't be read to its end."""


@dataclass(frozen=True)
class Item:
    """An unparsed document of a file.

    file (int): Index of its input file, from 0.
    number (int): Number of its line, or of the document in a file without lines, from 1.
    kind (str): Kind of the file, one of the values of KINDS.
    content (bytes | dict | tuple[str, bytes] | BadRecord): A line without its line end; a row of a
        table; the text and the bytes of a Doc; or the error of an unreadable document.
    """

    file: int
    number: int
    kind: str
    content: bytes | dict[str, Any] | tuple[str, bytes] | BadRecord

    @property
    def size(self) -> int:
        """RETURNS (int): Approximate size, in bytes."""
        if isinstance(self.content, tuple):
            return len(self.content[1])
        if isinstance(self.content, dict):
            return sum(len(value) for value in self.content.values() if isinstance(value, str))
        return len(self.content) if isinstance(self.content, bytes) else 0


def kind_of(path: Path) -> str | None:
    """RETURNS (str | None): The kind of a file by its suffixes; None if it is not readable."""
    suffix = path.suffix.lower()
    if suffix != GZ:
        return KINDS.get(suffix)
    kind = KINDS.get(Path(path.stem).suffix.lower())
    return (
        None if kind == PARQUET else kind
    )  # Parquet is compressed already, and needs random access


def read_items(path: Path, file: int = 0) -> Iterator[Item]:
    """Read the documents of a file. A .spacy file is loaded whole, other files in parts.

    path (Path): The file; its suffixes determine its kind.
    file (int): Index of the input file, from 0.
    YIELDS (Item): The documents in order. Blank lines of a JSONL file are skipped; each line of
        plain text is a document, even if it is blank.
    RAISES (UnreadableInput): The file can't be read to its end.
    """
    kind = kind_of(path)
    if kind is None:
        raise UnreadableInput(
            f"{path} is of no kind that can be read: {', '.join(KINDS)}, all but the last with "
            f"{GZ} too."
        )
    contents = {JSONL: _lines, TXT: _lines, SPACY: _docs, PARQUET: _rows}[kind]
    try:
        for number, content in enumerate(contents(path), 1):
            if kind != JSONL or not isinstance(content, bytes) or content.strip():
                yield Item(file, number, kind, content)
    except DAMAGE as error:
        raise UnreadableInput(f"{path} can't be read to its end: {error}") from error


def count_items(path: Path) -> int:
    """Count the documents of a file.

    path (Path): The file.
    RETURNS (int): The number of items that `read_items` yields.
    RAISES (UnreadableInput): The file can't be read to its end.
    """
    try:
        match kind_of(path):
            case "jsonl":
                return sum(bool(line.strip()) for line in _lines(path))
            case "spacy":
                return len(_doc_bin(path))
            case "parquet":
                return _parquet(path).metadata.num_rows
    except DAMAGE as error:
        raise UnreadableInput(f"{path} can't be read to its end: {error}") from error
    return sum(1 for _ in read_items(path))


def _open(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if path.suffix.lower() == GZ else path.open("rb")


def _lines(path: Path) -> Iterator[bytes]:
    with _open(path) as stream:
        for number, line in enumerate(stream):
            if number == 0:
                line = line.removeprefix(codecs.BOM_UTF8)
            yield line.removesuffix(b"\n").removesuffix(b"\r")


def _doc_bin(path: Path) -> DocBin:
    with _open(path) as stream:
        return DocBin().from_bytes(stream.read())


def _docs(path: Path) -> Iterator[tuple[str, bytes] | BadRecord]:
    docs, done = _doc_bin(path), 0
    while done < len(docs):
        # A new vocabulary: the pipeline's would keep the strings of every file.
        rest = _from(docs, done).get_docs(Vocab())
        fault = None
        while fault is None and done < len(docs):
            try:
                doc = next(rest)
                content = doc.text, doc.to_bytes()
            except Exception as error:  # depends on the damage; the generator ends after it
                fault = BadRecord(f"no Doc that can be read: {type(error).__name__}: {error}")
            done += 1
            yield fault or content


def _from(docs: DocBin, start: int) -> DocBin:
    """RETURNS (DocBin): The Docs from an index on."""
    if not start:
        return docs
    rest = DocBin()
    rest.attrs, rest.strings = docs.attrs, docs.strings
    for name in ("tokens", "spaces", "cats", "span_groups", "user_data", "flags"):
        setattr(rest, name, getattr(docs, name)[start:])
    return rest


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    for batch in _parquet(path).iter_batches(batch_size=PARQUET_ROWS):
        yield from batch.to_pylist()


def _parquet(path: Path) -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            f"{path} needs pyarrow to be read: pip install 'spacy-padellm[parquet]'."
        ) from error
    return pyarrow.parquet.ParquetFile(path)
