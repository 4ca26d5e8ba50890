"""The input files of a run, identified by checksums."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..weights.checksums import sha256_of_file
from .items import GZ, KINDS, Item, count_items, kind_of, read_items


class ChangedInput(ValueError):
    """An input file changed during the run."""


@dataclass(frozen=True)
class Input:
    """A file of documents. Its content identifies it, so that it may be moved between runs.

    path (str): Its path.
    size (int): Its size, in bytes.
    mtime_ns (int): Time of its last change, in nanoseconds.
    sha256 (str): Checksum of the file, of a compressed file in compressed form.
    documents (int): Number of documents in it.
    """

    path: str
    size: int
    mtime_ns: int
    sha256: str
    documents: int

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): All fields, for JSON."""
        return asdict(self)


def find_files(paths: Sequence[Path], output: Path) -> tuple[list[Path], list[Path]]:
    """Find the input files in files and folders.

    paths (Sequence[Path]): Files, and folders that are searched recursively.
    output (Path): The output folder; must not be in one of the input folders.
    RETURNS (tuple[list[Path], list[Path]]): The input files, those of a folder sorted by path; and
        the files in the folders that are of no readable kind.
    RAISES (ValueError): A path is missing, of no readable kind, given twice, or a folder without
        input files.
    """
    files: list[Path] = []
    others: list[Path] = []
    for path in paths:
        if path.is_dir():
            if output.resolve().is_relative_to(path.resolve()):
                raise ValueError(f"The output {output} lies in the input {path}: give another one.")
            in_folder = sorted(file for file in path.rglob("*") if file.is_file())
            readable = [file for file in in_folder if kind_of(file)]
            if not readable:
                raise ValueError(f"The folder {path} has no files that can be read. {_kinds()}")
            files += readable
            others += [file for file in in_folder if not kind_of(file)]
        elif not path.exists():
            raise ValueError(f"There is no {path}.")
        elif kind_of(path) is None:
            raise ValueError(f"{path} is of no kind that can be read. {_kinds()}")
        else:
            files.append(path)
    seen: set[Path] = set()
    for path in files:
        if path.resolve() in seen:
            raise ValueError(f"{path} is named twice: its documents would be annotated twice.")
        seen.add(path.resolve())
    return files, others


def fingerprint_input(path: Path, known: Input | None = None) -> Input:
    """Compute the checksum of a file and count its documents.

    path (Path): The file.
    known (Input | None): Result of an earlier run; the file is not read again if its size and time
        of the last change are the same.
    RETURNS (Input): The file with checksum and number of documents.
    RAISES (UnreadableInput): The file can't be read to its end.
    """
    status = os.stat(path)
    if known is not None and (known.size, known.mtime_ns) == (status.st_size, status.st_mtime_ns):
        return Input(**{**known.to_dict(), "path": str(path)})
    sha256 = sha256_of_file(path, progress=True)
    if known is not None and known.sha256 == sha256:
        documents = known.documents
    else:
        documents = count_items(path)
    return Input(str(path), status.st_size, status.st_mtime_ns, sha256, documents)


def read_inputs(inputs: Sequence[Input], start: int) -> Iterator[Item]:
    """Read the documents of all input files, in order.

    inputs (Sequence[Input]): The files.
    start (int): Index of the first document to yield, from 0 over all files.
    YIELDS (Item): The documents from `start` on.
    RAISES (ChangedInput): A file changed while it was read.
    """
    for index, file in enumerate(inputs):
        if start >= file.documents:
            start -= file.documents
            continue
        number = 0
        for number, item in enumerate(read_items(Path(file.path), index), 1):
            if number > file.documents:
                break
            if number > start:
                yield item
        start = 0
        if number != file.documents or not _unchanged(file):
            raise ChangedInput(
                f"{file.path} was changed while it was read: it had {file.documents} documents. "
                "What was written before holds; begin anew, in another folder, with files that "
                "stay as they are."
            )


def _unchanged(file: Input) -> bool:
    status = os.stat(file.path)
    if (file.size, file.mtime_ns) == (status.st_size, status.st_mtime_ns):
        return True
    return file.size == status.st_size and file.sha256 == sha256_of_file(Path(file.path))


def _kinds() -> str:
    return f"Known are {', '.join(KINDS)}, all but the last with {GZ} too."
