"""Writes that survive a kill or a power loss: a file is whole or absent, an append is flushed."""

from __future__ import annotations

import os
from pathlib import Path

from ..weights.store import flush


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, flush it to disk, and rename it.

    path (Path): The file.
    data (bytes): Its content.
    """
    temporary = temporary_path(path)
    try:
        temporary.write_bytes(data)
        flush_and_rename(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def flush_and_rename(temporary: Path, path: Path) -> None:
    """Flush a file to disk and rename it.

    temporary (Path): Its temporary name.
    path (Path): Its final name.
    """
    flush(temporary)
    os.replace(temporary, path)
    flush(path.parent)


def temporary_path(path: Path) -> Path:
    """RETURNS (Path): The temporary name of a file."""
    return path.with_name(f".{path.name}.tmp")


def append(path: Path, size: int, data: bytes) -> None:
    """Append to a file and flush it to disk.

    path (Path): The file; created if it is missing.
    size (int): Number of valid bytes in the file; bytes after them are cut off first.
    data (bytes): The bytes to append.
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
