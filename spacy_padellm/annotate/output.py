"""The folder that a run writes, whole at any moment.

    manifest.json   what it is made of: inputs, pipeline, settings
    documents/      the shards, 000000.jsonl or 000000.spacy, …
    errors.jsonl    what could not be annotated, a document a line
    progress.jsonl  the shards that are done

A shard is written under a temporary name and renamed; then come its errors, then its line in
progress.jsonl, each on the disk before the next. Whatever is there without that line is written
again.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from .annotator import Annotated, Failure
from .items import SPACY
from .journal import Journal, Shard, append, totals
from .manifest import Manifest, put, temporary
from .records import new_doc_bin

MANIFEST, JOURNAL, ERRORS, DOCUMENTS = (
    "manifest.json",
    "progress.jsonl",
    "errors.jsonl",
    "documents",
)
LOCK = ".lock"


class Refused(ValueError):
    """An output that can't be gone on with."""


class Output:
    """The output folder of a run. As a context manager it belongs to this process alone."""

    def __init__(self, folder: Path, format: str) -> None:
        self.folder = folder
        self.errors = folder / ERRORS
        self._documents = folder / DOCUMENTS
        self._format = format
        self._lock = FileLock(str(folder / LOCK))
        self._journal: Journal
        self._open: _OpenShard | None = None

    def __enter__(self) -> Output:
        if self.folder.exists() and not self.folder.is_dir():
            raise Refused(f"{self.folder} is a file: give a folder.")
        if self.folder.is_dir() and not (self.folder / MANIFEST).exists():
            others = {path.name for path in self.folder.iterdir()} - {LOCK, _TMP_MANIFEST}
            if others:
                raise Refused(
                    f"{self.folder} holds other things already, {min(others)} among them: give "
                    "another folder."
                )
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise Refused(
                f"Another process is writing to {self.folder}: let it finish, or stop it first."
            ) from error
        try:
            self._journal = Journal(self.folder / JOURNAL)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._open is not None:
            self._open.drop()
        self._lock.release()

    @property
    def shards(self) -> list[Shard]:
        """RETURNS (list[Shard]): Those that are done."""
        return self._journal.shards

    def manifest(self) -> Manifest | None:
        """RETURNS (Manifest | None): What it was made of so far, None if it is new."""
        path = self.folder / MANIFEST
        return Manifest.read(path) if path.exists() else None

    def begin(self, manifest: Manifest) -> None:
        """Begin, or go on; what a killed process left half done is removed.

        manifest (Manifest): What it will be made of.
        RAISES (Refused): It was made of something else, or parts of it are gone.
        """
        before = self.manifest()
        if before is None:
            manifest.write(self.folder / MANIFEST)
        elif different := before.differences(manifest):
            raise Refused(
                f"{self.folder} was begun with something else:\n- "
                + "\n- ".join(different)
                + "\nStart it as it was begun, or give another folder."
            )
        self._documents.mkdir(exist_ok=True)
        done = {shard.file for shard in self.shards}
        for path in self._documents.iterdir():
            if path.name not in done and re.fullmatch(r"\.?\d{6,}\.\w+(\.tmp)?", path.name):
                path.unlink()
        (self.folder / _TMP_MANIFEST).unlink(missing_ok=True)
        self.check()
        size = self.shards[-1].errors_bytes if self.shards else 0
        append(self.errors, size, b"")

    def add(self, one: Annotated) -> None:
        """Add a batch to the shard that is being written.

        one (Annotated): What became of it.
        """
        if self._open is None:
            path = self._documents / f"{len(self.shards):06d}.{self._format}"
            self._open = _DocShard(path) if self._format == SPACY else _JsonShard(path)
        self._open.add(one)

    def close_shard(self, documents: int, paths: list[str]) -> Shard:
        """Put the shard in place, with all that belongs to it.

        documents (int): Documents of the input that it stands for.
        paths (list[str]): The inputs.
        RETURNS (Shard): What is done.
        RAISES (OSError): A disk that is full. The shard then isn't done.
        """
        shard = self._open
        assert shard is not None
        if shard.annotated + len(shard.failures) != documents:
            raise RuntimeError(
                f"{documents} documents went into a shard, and {shard.annotated} annotated and "
                f"{len(shard.failures)} failed ones came out of it."
            )
        shard.put()
        lines = b"".join(_error_line(one, paths[one.file]) for one in shard.failures)
        size = self.shards[-1].errors_bytes if self.shards else 0
        if lines:
            append(self.errors, size, lines)
        done = Shard(
            len(self.shards),
            shard.path.name,
            shard.path.stat().st_size,
            documents,
            shard.annotated,
            len(shard.failures),
            size + len(lines),
        )
        self._journal.add(done)
        self._open = None
        return done

    def check(self) -> None:
        """Look whether all that is done is there.

        RAISES (Refused): A shard or errors that are missing or of another size.
        """
        for shard in self.shards:
            path = self._documents / shard.file
            size = path.stat().st_size if path.is_file() else None
            if size != shard.bytes:
                raise Refused(
                    f"{path} should have {shard.bytes} bytes, and "
                    + ("is missing" if size is None else f"has {size}")
                    + ". Put it back as it was, or begin anew in another folder."
                )
        size = self.errors.stat().st_size if self.errors.is_file() else 0
        if self.shards and size < self.shards[-1].errors_bytes:
            raise Refused(
                f"{self.errors} should have {self.shards[-1].errors_bytes} bytes, and has {size}. "
                "Put it back as it was, or begin anew in another folder."
            )

    def finish(self, documents: int) -> None:
        """Look whether every document of the input is annotated or listed, once.

        documents (int): Documents of the input.
        RAISES (Refused): Parts of the output are gone.
        RAISES (RuntimeError): The numbers don't add up.
        """
        self.check()
        seen, annotated, failed = totals(self.shards)
        with self.errors.open("rb") as file:
            listed = sum(1 for _ in file)
        if not seen == annotated + failed == documents or listed != failed:
            raise RuntimeError(
                f"The input has {documents} documents, but {annotated} were annotated and {failed} "
                f"failed, {listed} of them listed."
            )


_TMP_MANIFEST = temporary(Path(MANIFEST)).name


class _OpenShard(ABC):
    """A shard that is being written, under a temporary name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.annotated = 0
        self.failures: list[Failure] = []
        self._file: BinaryIO = temporary(path).open("wb")

    def add(self, one: Annotated) -> None:
        self.annotated += one.annotated
        self.failures += one.failures
        self._write(one.content)

    def put(self) -> None:
        self._file.close()
        put(temporary(self.path), self.path)

    def drop(self) -> None:
        with suppress(OSError):  # a full disk has no room for what was buffered
            self._file.close()
        temporary(self.path).unlink(missing_ok=True)

    @abstractmethod
    def _write(self, content: bytes) -> None: ...


class _JsonShard(_OpenShard):
    def _write(self, content: bytes) -> None:
        self._file.write(content)


class _DocShard(_OpenShard):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._docs = new_doc_bin()

    def _write(self, content: bytes) -> None:
        self._docs.merge(new_doc_bin().from_bytes(content))

    def put(self) -> None:
        self._file.write(self._docs.to_bytes())
        super().put()


def _error_line(one: Failure, path: str) -> bytes:
    record: dict[str, Any] = {
        "input": path,
        "number": one.number,
        "reason": one.reason,
        "text": one.text,
        "source": one.source,
    }
    return json.dumps(record).encode("ascii") + b"\n"  # escapes: half a character can be written
