"""The file of a shard that is being written, under a temporary name until it is complete."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from .annotator import AnnotatedBatch, Failure
from .durable_files import flush_and_rename, temporary_path
from .items import SPACY
from .records import new_doc_bin


class ShardFile(ABC):
    """A shard that is being written.

    path (Path): Final name of its file.
    annotated (int): Number of annotated documents so far.
    failures (list[Failure]): The failed documents so far.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.annotated = 0
        self.failures: list[Failure] = []
        self._file: BinaryIO = temporary_path(path).open("wb")

    def add(self, batch: AnnotatedBatch) -> None:
        self.annotated += batch.annotated
        self.failures += batch.failures
        self._write(batch.content)

    def complete(self) -> None:
        """Flush the file to disk and give it its final name."""
        self._file.close()
        flush_and_rename(temporary_path(self.path), self.path)

    def discard(self) -> None:
        """Remove the file."""
        with suppress(OSError):  # on a full disk the buffer can't be written
            self._file.close()
        temporary_path(self.path).unlink(missing_ok=True)

    @abstractmethod
    def _write(self, content: bytes) -> None: ...


class JsonShardFile(ShardFile):
    """Lines of JSON, written as they come."""

    def _write(self, content: bytes) -> None:
        self._file.write(content)


class DocShardFile(ShardFile):
    """A DocBin, kept in memory until the shard is complete."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._docs = new_doc_bin()

    def _write(self, content: bytes) -> None:
        self._docs.merge(new_doc_bin().from_bytes(content))

    def complete(self) -> None:
        self._file.write(self._docs.to_bytes())
        super().complete()


def open_shard_file(path: Path, format: str) -> ShardFile:
    """RETURNS (ShardFile): A new, empty shard file of a format."""
    return DocShardFile(path) if format == SPACY else JsonShardFile(path)
