"""The output folder of a run, consistent at any time.

    manifest.json   inputs, pipeline, settings, versions
    documents/      the shards, 000000.jsonl or 000000.spacy, …
    errors.jsonl    the failed documents, one per line
    progress.jsonl  the shards that are done, one per line

A shard is written under a temporary name and renamed; then its errors are appended, then its line
in progress.jsonl, each flushed to disk before the next. Shards and errors without that line are
written again.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from .annotator import AnnotatedBatch, Failure
from .durable_files import append, temporary_path
from .journal import Journal, Shard, totals
from .manifest import Manifest
from .shard_file import ShardFile, open_shard_file

MANIFEST, JOURNAL, ERRORS, DOCUMENTS = (
    "manifest.json",
    "progress.jsonl",
    "errors.jsonl",
    "documents",
)
LOCK = ".lock"
TEMPORARY_MANIFEST = temporary_path(Path(MANIFEST)).name


class Refused(ValueError):
    """An output folder that can't be written or continued."""


class Output:
    """The output folder of a run. As a context manager it locks the folder for this process.

    folder (Path): The folder.
    format (str): Format of the shards, one of FORMATS.
    """

    def __init__(self, folder: Path, format: str) -> None:
        self.folder = folder
        self.errors = folder / ERRORS
        self._documents = folder / DOCUMENTS
        self._format = format
        self._lock = FileLock(str(folder / LOCK))
        self._journal: Journal
        self._shard_file: ShardFile | None = None

    def __enter__(self) -> Output:
        if self.folder.exists() and not self.folder.is_dir():
            raise Refused(f"{self.folder} is a file: give a folder.")
        if self.folder.is_dir() and not (self.folder / MANIFEST).exists():
            others = {path.name for path in self.folder.iterdir()} - {LOCK, TEMPORARY_MANIFEST}
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
        if self._shard_file is not None:
            self._shard_file.discard()
        self._lock.release()

    @property
    def shards(self) -> list[Shard]:
        """RETURNS (list[Shard]): The shards that are done."""
        return self._journal.shards

    def manifest(self) -> Manifest | None:
        """RETURNS (Manifest | None): The manifest of the earlier run; None in a new folder."""
        path = self.folder / MANIFEST
        return Manifest.read(path) if path.exists() else None

    def begin(self, manifest: Manifest) -> None:
        """Begin or continue a run; remove the incomplete files of a killed process.

        manifest (Manifest): Manifest of this run.
        RAISES (Refused): The folder has another manifest, or files of done shards are missing or
            changed.
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
        (self.folder / TEMPORARY_MANIFEST).unlink(missing_ok=True)
        self.check()
        size = self.shards[-1].errors_bytes if self.shards else 0
        append(self.errors, size, b"")

    def add(self, batch: AnnotatedBatch) -> None:
        """Add a batch to the shard that is being written.

        batch (AnnotatedBatch): Records and failures of the batch.
        """
        if self._shard_file is None:
            path = self._documents / f"{len(self.shards):06d}.{self._format}"
            self._shard_file = open_shard_file(path, self._format)
        self._shard_file.add(batch)

    def close_shard(self, documents: int, paths: list[str]) -> Shard:
        """Complete the shard that is being written: its file, its errors, its line in the journal.

        documents (int): Number of input documents in it, annotated or failed.
        paths (list[str]): Paths of the input files.
        RETURNS (Shard): The shard.
        RAISES (OSError): The disk is full. The shard is not done then.
        RAISES (RuntimeError): The shard has another number of documents.
        """
        shard = self._shard_file
        assert shard is not None
        if shard.annotated + len(shard.failures) != documents:
            raise RuntimeError(
                f"{documents} documents went into a shard, and {shard.annotated} annotated and "
                f"{len(shard.failures)} failed ones came out of it."
            )
        shard.complete()
        lines = b"".join(_error_line(failure, paths[failure.file]) for failure in shard.failures)
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
        self._shard_file = None
        return done

    def check(self) -> None:
        """Verify the files of the done shards.

        RAISES (Refused): A shard or the list of errors is missing or has another size.
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
        """Verify that every input document is annotated or listed exactly once.

        documents (int): Number of input documents.
        RAISES (Refused): A shard or the list of errors is missing or has another size.
        RAISES (RuntimeError): The numbers of documents don't add up.
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


def _error_line(failure: Failure, path: str) -> bytes:
    record: dict[str, Any] = {
        "input": path,
        "number": failure.number,
        "reason": failure.reason,
        "text": failure.text,
        "source": failure.source,
    }
    return (
        json.dumps(record).encode("ascii") + b"\n"
    )  # ASCII escapes: lone surrogates can be written
