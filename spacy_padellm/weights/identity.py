"""The identity of weights: a sha256 that tells one base from another."""

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


def remembered_sha256(
    paths: Sequence[Path],
    memory: Path,
    *,
    verify: bool = False,
    refresh: bool = False,
    progress: bool = False,
) -> str:
    """`sha256_of_files`, computed again only where sizes or modification times differ from those
    of the last time.

    paths (Sequence[Path]): The files of one base.
    memory (Path): The folder that remembers. If it can't be written, nothing is remembered.
    verify (bool): Compute it in any case, and compare.
    refresh (bool): Compute it in any case, and forget what was.
    progress (bool): Show bars while hashing.
    RETURNS (str): 64 hexadecimal digits.
    RAISES (ValueError): If verify finds another sha256 though no size or time has changed.
    """
    facts = [_facts(path) for path in sorted(path.absolute() for path in paths)]
    key = hashlib.sha256("\n".join(path for path, *_ in facts).encode("utf8")).hexdigest()
    entry = memory / f"{key[:32]}.json"
    known = None if refresh else _recall(entry, facts)
    if known is not None and not verify:
        return known
    found = sha256_of_files(paths, progress=progress)
    if known is not None and found != known:
        raise ValueError(
            f"The weights {', '.join(path for path, *_ in facts)} are damaged: sha256 {found} "
            f"instead of {known}, with sizes and modification times as before. Copy or fetch "
            "them again; if the change is meant, run `python -m spacy padellm download --force`."
        )
    _remember(entry, facts, found)
    return found


def _facts(path: Path) -> list:
    status = path.stat()
    return [str(path), status.st_size, status.st_mtime_ns]


def _recall(entry: Path, facts: list) -> str | None:
    try:
        known = json.loads(entry.read_text(encoding="utf8"))
        return known["sha256"] if known["files"] == facts else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(entry: Path, facts: list, sha256: str) -> None:
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=entry.parent, suffix=".partial")
        with os.fdopen(descriptor, "w", encoding="utf8") as file:
            json.dump({"sha256": sha256, "files": facts}, file)
        os.replace(name, entry)
    except OSError:
        pass  # hashing again costs time, nothing else
