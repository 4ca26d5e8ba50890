"""What a run's output was made of: inputs, pipeline, settings."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..weights.store import flush
from .inputs import Input

VERSION = 1


@dataclass(frozen=True)
class Manifest:
    """What an output depends on.

    inputs (tuple[Input, ...]): The files in their order.
    pipeline (str): Its name, as given.
    pipeline_sha256 (str): See `sha256_of_pipeline`.
    settings (dict[str, Any]): See `Job.settings`.
    versions (dict[str, str | None]): Of Python and packages.
    """

    inputs: tuple[Input, ...]
    pipeline: str
    pipeline_sha256: str
    settings: dict[str, Any]
    versions: dict[str, str | None]

    def write(self, path: Path) -> None:
        """Write it so that the file is there whole or not at all.

        path (Path): The file.
        """
        record = {
            "version": VERSION,
            "inputs": [one.to_dict() for one in self.inputs],
            "pipeline": {"name": self.pipeline, "sha256": self.pipeline_sha256},
            "settings": self.settings,
            "versions": self.versions,
        }
        data = json.dumps(record, indent=2).encode("utf8") + b"\n"
        write_whole(path, data)

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read it.

        path (Path): The file.
        RETURNS (Manifest): What it says.
        RAISES (ValueError): A file that is no manifest, or one of another version.
        """
        try:
            record = json.loads(path.read_text(encoding="utf8"))
            if record["version"] != VERSION:
                raise ValueError(f"its version is {record['version']}, known is {VERSION}")
            return cls(
                tuple(Input(**one) for one in record["inputs"]),
                record["pipeline"]["name"],
                record["pipeline"]["sha256"],
                record["settings"],
                record["versions"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no manifest that can be read: {error!r}") from error

    def differences(self, now: Manifest) -> list[str]:
        """What keeps a run from going on.

        now (Manifest): What it would go on with.
        RETURNS (list[str]): A line for each difference; versions are none.
        """
        found = list(_input_differences(self.inputs, now.inputs))
        if self.pipeline_sha256 != now.pipeline_sha256:
            found.append(
                f"pipeline: it was {self.pipeline} with sha256 {self.pipeline_sha256[:12]}…, now "
                f"it is {now.pipeline} with {now.pipeline_sha256[:12]}…"
            )
        for name in sorted(self.settings.keys() | now.settings.keys()):
            before, after = self.settings.get(name), now.settings.get(name)
            if before != after:
                found.append(f"{name}: it was {before!r}, now it is {after!r}")
        return found

    def other_versions(self, now: Manifest) -> list[str]:
        """RETURNS (list[str]): A line for each version that differs."""
        return [
            f"{name} {self.versions.get(name)}, now {version}"
            for name, version in now.versions.items()
            if self.versions.get(name) != version
        ]


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, wait until it is on the disk, and rename it.

    path (Path): The file.
    data (bytes): What is in it.
    """
    new = temporary(path)
    try:
        new.write_bytes(data)
        put(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def put(new: Path, path: Path) -> None:
    """Give a file its name, once it is on the disk.

    new (Path): Its temporary name.
    path (Path): Its name.
    """
    flush(new)
    os.replace(new, path)
    flush(path.parent)


def temporary(path: Path) -> Path:
    """RETURNS (Path): The temporary name of a file."""
    return path.with_name(f".{path.name}.tmp")


def _input_differences(before: Sequence[Input], now: Sequence[Input]) -> list[str]:
    if len(before) != len(now):
        names = [f"{len(files)}, {', '.join(_short(files))}" for files in (before, now)]
        return [f"inputs: the files were {names[0]}; now they are {names[1]}"]
    return [
        f"input {number}: it was {old.path}, {old.size} bytes, sha256 {old.sha256[:12]}…; now it "
        f"is {new.path}, {new.size} bytes, {new.sha256[:12]}…"
        for number, (old, new) in enumerate(zip(before, now, strict=True), 1)
        if old.sha256 != new.sha256
    ]


def _short(files: Sequence[Input]) -> list[str]:
    names = [one.path for one in files[:3]]
    return [*names, "…"] if len(files) > 3 else names
