"""The files that a run reads, and what tells them from others."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..weights.checksums import sha256_of_file
from .items import GZ, KINDS, Item, count_items, kind_of, read_items


class ChangedInput(ValueError):
    """An input that is not what it was."""


@dataclass(frozen=True)
class Input:
    """A file of documents. Its identity is its content: it may be moved.

    path (str): Where it is.
    size (int): In bytes.
    mtime_ns (int): When it was changed last.
    sha256 (str): Of the file as it lies there, compressed or not.
    documents (int): Documents in it.
    """

    path: str
    size: int
    mtime_ns: int
    sha256: str
    documents: int

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): All of it, for JSON."""
        return asdict(self)


def find_files(paths: Sequence[Path], output: Path) -> tuple[list[Path], list[Path]]:
    """Find the files that paths stand for.

    paths (Sequence[Path]): Files, and folders of them.
    output (Path): Where the run writes: must not be in one of the folders.
    RETURNS (tuple[list[Path], list[Path]]): The files, those of a folder sorted by path, and those
        that a folder has beside them.
    RAISES (ValueError): A path that is not there or of no kind that can be read, a file that is
        named twice, or a folder without any.
    """
    files: list[Path] = []
    others: list[Path] = []
    for path in paths:
        if path.is_dir():
            if output.resolve().is_relative_to(path.resolve()):
                raise ValueError(f"The output {output} lies in the input {path}: give another one.")
            inside = sorted(one for one in path.rglob("*") if one.is_file())
            found = [one for one in inside if kind_of(one)]
            if not found:
                raise ValueError(f"The folder {path} has no files that can be read. {_kinds()}")
            files += found
            others += [one for one in inside if not kind_of(one)]
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


def look_at(path: Path, known: Input | None = None) -> Input:
    """Read a file through: its identity, and how many documents it has.

    path (Path): The file.
    known (Input | None): What was found earlier; not read again where size and time of the last
        change are the same.
    RETURNS (Input): What it is.
    RAISES (UnreadableInput): A file that can't be read to its end.
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


def read_from(inputs: Sequence[Input], start: int) -> Iterator[Item]:
    """The documents of all inputs, one after another.

    inputs (Sequence[Input]): The files.
    start (int): The first document, from 0.
    YIELDS (Item): The documents from there on.
    RAISES (ChangedInput): A file that changes while it is read.
    """
    for file, one in enumerate(inputs):
        if start >= one.documents:
            start -= one.documents
            continue
        number = 0
        for number, item in enumerate(read_items(Path(one.path), file), 1):
            if number > one.documents:
                break
            if number > start:
                yield item
        start = 0
        if number != one.documents or not _unchanged(one):
            raise ChangedInput(
                f"{one.path} was changed while it was read: it had {one.documents} documents. "
                "What was written before holds; begin anew, in another folder, with files that "
                "stay as they are."
            )


def _unchanged(one: Input) -> bool:
    status = os.stat(one.path)
    if (one.size, one.mtime_ns) == (status.st_size, status.st_mtime_ns):
        return True
    return one.size == status.st_size and one.sha256 == sha256_of_file(Path(one.path))


def _kinds() -> str:
    return f"Known are {', '.join(KINDS)}, all but the last with {GZ} too."
