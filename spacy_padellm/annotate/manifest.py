"""Manifest of an output folder: inputs, pipeline, settings and versions of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .durable_files import write_whole
from .inputs import Input

VERSION = 1


@dataclass(frozen=True)
class Manifest:
    """Everything that an output depends on.

    inputs (tuple[Input, ...]): The input files in order.
    pipeline (str): Name of the pipeline, as given.
    pipeline_sha256 (str): See `sha256_of_pipeline`.
    settings (dict[str, Any]): See `Job.settings`.
    versions (dict[str, str | None]): Versions of Python and packages.
    """

    inputs: tuple[Input, ...]
    pipeline: str
    pipeline_sha256: str
    settings: dict[str, Any]
    versions: dict[str, str | None]

    def write(self, path: Path) -> None:
        """Write the manifest; the file is whole or absent at any time.

        path (Path): The file.
        """
        record = {
            "version": VERSION,
            "inputs": [file.to_dict() for file in self.inputs],
            "pipeline": {"name": self.pipeline, "sha256": self.pipeline_sha256},
            "settings": self.settings,
            "versions": self.versions,
        }
        data = json.dumps(record, indent=2).encode("utf8") + b"\n"
        write_whole(path, data)

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read a manifest.

        path (Path): The file.
        RETURNS (Manifest): The manifest.
        RAISES (ValueError): The file is no manifest, or one of another version.
        """
        try:
            record = json.loads(path.read_text(encoding="utf8"))
            if record["version"] != VERSION:
                raise ValueError(f"its version is {record['version']}, known is {VERSION}")
            return cls(
                tuple(Input(**file) for file in record["inputs"]),
                record["pipeline"]["name"],
                record["pipeline"]["sha256"],
                record["settings"],
                record["versions"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no manifest that can be read: {error!r}") from error

    def differences(self, now: Manifest) -> list[str]:
        """List the differences that keep a run from being continued.

        now (Manifest): Manifest of the run that would continue it.
        RETURNS (list[str]): One line per difference of inputs, pipeline or settings.
        """
        differences = list(_input_differences(self.inputs, now.inputs))
        if self.pipeline_sha256 != now.pipeline_sha256:
            differences.append(
                f"pipeline: it was {self.pipeline} with sha256 {self.pipeline_sha256[:12]}…, now "
                f"it is {now.pipeline} with {now.pipeline_sha256[:12]}…"
            )
        for name in sorted(self.settings.keys() | now.settings.keys()):
            before, after = self.settings.get(name), now.settings.get(name)
            if before != after:
                differences.append(f"{name}: it was {before!r}, now it is {after!r}")
        return differences

    def other_versions(self, now: Manifest) -> list[str]:
        """RETURNS (list[str]): One line per version that differs."""
        return [
            f"{name} {self.versions.get(name)}, now {version}"
            for name, version in now.versions.items()
            if self.versions.get(name) != version
        ]


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
    names = [file.path for file in files[:3]]
    return [*names, "…"] if len(files) > 3 else names
