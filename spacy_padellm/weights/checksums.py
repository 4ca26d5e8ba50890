"""SHA-256 checksums of weight files: the identity of a base, cached between runs."""

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .progress import progress_bar

BLOCK = 1 << 20


def sha256_of_file(path: Path, *, progress: bool = False) -> str:
    """Hash a file, as the command `sha256sum` does.

    path (Path): The file.
    progress (bool): Show a bar, in bytes, if it takes longer than a second.
    RETURNS (str): 64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    size = path.stat().st_size
    bar = progress_bar(size, "B", f"Checking {path.name}", progress=progress, delay=1)
    with bar, path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            bar.update(len(block))
    return digest.hexdigest()


def sha256_of_files(paths: Sequence[Path], *, progress: bool = False) -> str:
    """Hash files together: one as `sha256sum FILE` does, more as `sha256sum FILES | sha256sum`
    does, sorted by name.

    paths (Sequence[Path]): The files, at least one.
    progress (bool): Show bars.
    RETURNS (str): 64 hexadecimal digits.
    """
    paths = sorted(paths, key=lambda path: path.name)
    digests = [sha256_of_file(path, progress=progress) for path in paths]
    if len(digests) == 1:
        return digests[0]
    lines = "".join(f"{digest}  {path.name}\n" for digest, path in zip(digests, paths, strict=True))
    return hashlib.sha256(lines.encode("utf8")).hexdigest()


def cached_sha256(
    paths: Sequence[Path],
    cache: Path,
    *,
    verify: bool = False,
    refresh: bool = False,
    progress: bool = False,
) -> str:
    """`sha256_of_files`, computed again only if a size or modification time has changed.

    paths (Sequence[Path]): The files of one base.
    cache (Path): The folder of cached checksums. If it can't be written, nothing is cached.
    verify (bool): Compute the checksum in any case, and compare it with the cached one.
    refresh (bool): Compute the checksum in any case, and replace the cached one.
    progress (bool): Show bars while hashing.
    RETURNS (str): 64 hexadecimal digits.
    RAISES (ValueError): With `verify`, a checksum that differs from the cached one though no size
        or time has changed.
    """
    stats = [_file_stats(path) for path in sorted(path.absolute() for path in paths)]
    key = hashlib.sha256("\n".join(path for path, *_ in stats).encode("utf8")).hexdigest()
    entry = cache / f"{key[:32]}.json"
    cached = None if refresh else _read_entry(entry, stats)
    if cached is not None and not verify:
        return cached
    computed = sha256_of_files(paths, progress=progress)
    if cached is not None and computed != cached:
        raise ValueError(
            f"The weights {', '.join(path for path, *_ in stats)} are damaged: sha256 {computed} "
            f"instead of {cached}, with sizes and modification times as before. Copy or fetch "
            "them again; if the change is meant, run `python -m spacy padellm download --force`."
        )
    _write_entry(entry, stats, computed)
    return computed


def _file_stats(path: Path) -> list:
    """RETURNS (list): Path, size in bytes, modification time in ns, as JSON holds them."""
    status = path.stat()
    return [str(path), status.st_size, status.st_mtime_ns]


def _read_entry(entry: Path, stats: list) -> str | None:
    """RETURNS (str | None): The cached checksum; None if there is none for these file stats."""
    try:
        cached = json.loads(entry.read_text(encoding="utf8"))
        return cached["sha256"] if cached["files"] == stats else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_entry(entry: Path, stats: list, sha256: str) -> None:
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=entry.parent, suffix=".partial")
        with os.fdopen(descriptor, "w", encoding="utf8") as file:
            json.dump({"sha256": sha256, "files": stats}, file)
        os.replace(name, entry)
    except OSError:
        pass  # without an entry the files are hashed again next time
