"""The list of what is done: a line for each shard, written when all of the shard is on the disk."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..weights.store import flush


@dataclass(frozen=True)
class Shard:
    """A shard that is done.

    number (int): From 0, without gaps.
    file (str): Name of its file.
    bytes (int): Size of its file.
    documents (int): Documents of the input that it stands for.
    annotated (int): Those in its file.
    failed (int): Those in the list of errors. With those annotated, all.
    errors_bytes (int): Size of the list of errors, up to here.
    """

    number: int
    file: str
    bytes: int
    documents: int
    annotated: int
    failed: int
    errors_bytes: int


class Journal:
    """Shards that are done, in order. A line that was not written to its end is none."""

    def __init__(self, path: Path) -> None:
        """Read it, and take off what was not written to its end.

        path (Path): Its file; may be missing.
        RAISES (ValueError): Shards that don't add up.
        """
        self._path = path
        self.shards: list[Shard] = []
        self._size = 0
        if path.exists():
            self._read()

    def add(self, shard: Shard) -> None:
        """Write that a shard is done; after this returns, it stays so.

        shard (Shard): The next one.
        RAISES (OSError): A disk that is full. The shard then isn't done.
        """
        line = json.dumps(asdict(shard)).encode("utf8") + b"\n"
        append(self._path, self._size, line)
        self._size += len(line)
        self.shards.append(shard)

    def _read(self) -> None:
        with self._path.open("rb") as file:
            for line in file:
                shard = _shard(line)
                if shard is None:
                    break
                if shard.number != len(self.shards):
                    raise ValueError(
                        f"{self._path} has shard {shard.number} where {len(self.shards)} is due: "
                        "it was written by something else. Begin anew, in another folder."
                    )
                self.shards.append(shard)
                self._size += len(line)


def append(path: Path, size: int, data: bytes) -> None:
    """Write at the end of a file, and wait until it is on the disk.

    path (Path): The file; made where it is missing.
    size (int): Bytes of it that count: whatever is behind them is taken off.
    data (bytes): What to write.
    """
    new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    with open(descriptor, "r+b") as file:
        file.truncate(size)
        file.seek(size)
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    if new:
        flush(path.parent)


def totals(shards: Sequence[Shard]) -> tuple[int, int, int]:
    """RETURNS (tuple[int, int, int]): Documents of the input, those annotated, those failed."""
    return (
        sum(one.documents for one in shards),
        sum(one.annotated for one in shards),
        sum(one.failed for one in shards),
    )


def _shard(line: bytes) -> Shard | None:
    if not line.endswith(b"\n"):
        return None
    try:
        return Shard(**json.loads(line))
    except (ValueError, TypeError):
        return None
