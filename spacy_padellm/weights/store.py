"""Folders of the cache, written atomically: complete or absent.

A folder is written under a temporary name, flushed to disk with its manifest, then renamed. The
manifest lists every file with its size and sha256, by which later damage is detected.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .checksums import sha256_of_file
from .progress import print_status

MANIFEST = "padellm.json"


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read a folder's manifest.

    folder (Path): A folder made by `build_folder`.
    RETURNS (dict[str, Any]): The facts that `write` returned, and under "files" the size (in bytes)
        and sha256 of each file.
    """
    return json.loads((folder / MANIFEST).read_text(encoding="utf8"))


def find_faults(folder: Path, *, checksums: bool = False, progress: bool = False) -> list[str]:
    """Compare a folder with its manifest.

    folder (Path): A folder made by `build_folder`.
    checksums (bool): Compare the sha256 of every file too, not only its size.
    progress (bool): Show bars while hashing.
    RETURNS (list[str]): One clause per fault; empty if the folder is complete.
    """
    if not (folder / MANIFEST).is_file():
        return [f"{folder / MANIFEST} is missing"]
    try:
        files = read_manifest(folder)["files"]
        expected = [(folder / name, fact["size"], fact["sha256"]) for name, fact in files.items()]
    except (ValueError, KeyError, TypeError, AttributeError):
        return [f"{folder / MANIFEST} is no manifest"]
    faults = []
    for path, size, sha256 in expected:
        if not path.is_file():
            faults.append(f"{path} is missing")
        elif path.stat().st_size != size:
            faults.append(f"{path} has {path.stat().st_size} bytes instead of {size}")
        elif checksums and sha256_of_file(path, progress=progress) != sha256:
            faults.append(f"{path} has another sha256 than {sha256}")
    return faults


def build_folder(
    folder: Path,
    write: Callable[[Path, Path], dict[str, Any]],
    *,
    rebuild: bool = False,
    progress: bool = True,
) -> None:
    """Write a folder, unless another process has written it in the meantime.

    folder (Path): Path of the folder. An existing folder is replaced.
    write (Callable[[Path, Path], dict[str, Any]]): Gets a scratch folder on the same file system
        and the empty folder to fill; returns the facts for the manifest.
    rebuild (bool): Write the folder even if it exists and is complete.
    progress (bool): Print a status line while waiting for another process.
    RAISES (OSError): A folder that can't be written.
    """
    with _locked(folder, progress):
        _remove_leftovers(folder)
        if rebuild or find_faults(folder, checksums=True):
            _build(folder, write, progress)


def _build(folder: Path, write: Callable[[Path, Path], dict[str, Any]], progress: bool) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".partial", dir=folder.parent))
    try:
        # Only the owner may read mkdtemp's folder; the one inside has the user's own permissions.
        made = scratch / "made"
        made.mkdir()
        _write_manifest(made, write(scratch, made), progress)
        if folder.exists():
            os.replace(folder, scratch / "replaced")
        os.replace(made, folder)
        flush(folder.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write_manifest(folder: Path, facts: dict[str, Any], progress: bool) -> None:
    files = {}
    for path in sorted(folder.iterdir()):
        flush(path)
        digest = sha256_of_file(path, progress=progress)
        files[path.name] = {"size": path.stat().st_size, "sha256": digest}
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps({**facts, "files": files}, indent=2) + "\n", encoding="utf8")
    flush(manifest)
    flush(folder)


def flush(path: Path) -> None:
    """Wait until a file, or the list of a folder's files, is on the disk.

    path (Path): The file or folder.
    """
    if path.is_dir() and os.name == "nt":  # Windows can't open folders
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(folder: Path, progress: bool) -> Iterator[None]:
    lock = FileLock(f"{folder}.lock")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            status = f"Another process is making {folder}: waiting for it."
            print_status(status, progress=progress)
            lock.acquire()
    except OSError as error:
        raise OSError(
            f"The cache can't be written ({error}). Name another folder in the environment "
            "variable SPACY_PADELLM_CACHE."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _remove_leftovers(folder: Path) -> None:
    # The process that made them has ended: this one holds the lock.
    for leftover in folder.parent.glob(f"{folder.name}.*.partial"):
        shutil.rmtree(leftover, ignore_errors=True)
