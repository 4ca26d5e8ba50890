"""Journal of a run: one line per shard, written when the whole shard is on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .durable_files import append


@dataclass(frozen=True)
class Shard:
    """A shard that is done.

    number (int): Number of the shard, from 0 without gaps.
    file (str): Name of its file.
    bytes (int): Size of its file.
    documents (int): Number of input documents in it, annotated or failed.
    annotated (int): Number of documents in its file.
    failed (int): Number of its documents in the list of errors.
    errors_bytes (int): Size of the list of errors after this shard.
    """

    number: int
    file: str
    bytes: int
    documents: int
    annotated: int
    failed: int
    errors_bytes: int


class Journal:
    """The shards that are done, in order. An incomplete line at the end is ignored."""

    def __init__(self, path: Path) -> None:
        """Read the journal up to its last complete line.

        path (Path): Its file; may be missing.
        RAISES (ValueError): The numbers of the shards are not consecutive.
        """
        self._path = path
        self.shards: list[Shard] = []
        self._size = 0
        if path.exists():
            self._read()

    def add(self, shard: Shard) -> None:
        """Append the line of a shard and flush it to disk.

        shard (Shard): The next shard.
        RAISES (OSError): The disk is full. The shard is not done then.
        """
        line = json.dumps(asdict(shard)).encode("utf8") + b"\n"
        append(self._path, self._size, line)
        self._size += len(line)
        self.shards.append(shard)

    def _read(self) -> None:
        with self._path.open("rb") as file:
            for line in file:
                shard = _parse_shard(line)
                if shard is None:
                    break
                if shard.number != len(self.shards):
                    raise ValueError(
                        f"{self._path} has shard {shard.number} where {len(self.shards)} is due: "
                        "it was written by something else. Begin anew, in another folder."
                    )
                self.shards.append(shard)
                self._size += len(line)


def totals(shards: Sequence[Shard]) -> tuple[int, int, int]:
    """RETURNS (tuple[int, int, int]): Numbers of input documents, annotated documents and failed
    documents."""
    return (
        sum(shard.documents for shard in shards),
        sum(shard.annotated for shard in shards),
        sum(shard.failed for shard in shards),
    )


def _parse_shard(line: bytes) -> Shard | None:
    if not line.endswith(b"\n"):
        return None
    try:
        return Shard(**json.loads(line))
    except (ValueError, TypeError):
        return None
