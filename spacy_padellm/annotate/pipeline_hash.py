"""Hash of a pipeline, to check that a run is continued with the same pipeline."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..weights.checksums import sha256_of_file

CACHES = {"__pycache__"}


def sha256_of_pipeline(name: str, code: Path | None = None) -> str:
    """Compute the sha256 of a pipeline's files, names and contents, and of its registered code.

    The files of an adapter's base are left out: the adapter holds the sha256 of its base, and only
    this base is loaded.

    name (str): Package, folder, or "blank:" with a language.
    code (Path | None): Python file with registered functions.
    RETURNS (str): 64 hexadecimal digits.
    RAISES (OSError): The pipeline does not exist.
    """
    digest = hashlib.sha256()
    folder = _folder(name)
    if folder is None:
        digest.update(name.encode("utf8"))
    else:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and CACHES.isdisjoint(path.parts):
                digest.update(f"{sha256_of_file(path, progress=True)}  ".encode())
                digest.update(f"{path.relative_to(folder).as_posix()}\n".encode())
    if code is not None:
        digest.update(f"{sha256_of_file(code)}  --code\n".encode())
    return digest.hexdigest()


def _folder(name: str) -> Path | None:
    from spacy.util import get_package_path, is_package

    if name.startswith("blank:"):
        return None
    if is_package(name):
        return get_package_path(name)
    if Path(name).is_dir():
        return Path(name)
    raise FileNotFoundError(f"There is no pipeline {name!r}: neither a folder nor a package.")
