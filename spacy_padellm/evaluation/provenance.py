"""Where figures come from: the model's identity and the versions of what ran it."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..model.serialization import SavedModel
from ..weights.checksums import sha256_of_files

if TYPE_CHECKING:
    from ..pipeline.component import PadellmNER

PACKAGES = (
    "spacy-padellm",
    "spacy",
    "spacy-transformers",
    "thinc",
    "torch",
    "transformers",
    "peft",
)


def versions() -> dict[str, str | None]:
    """RETURNS (dict[str, str | None]): Version of Python and of each package; None where it is not
    installed."""
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def model_identity(component: PadellmNER) -> dict[str, Any]:
    """Tell which weights a component runs; loads them on first need.

    component (PadellmNER): The component.
    RETURNS (dict[str, Any]): `base`, its name; `sha256` of the base; `adapter_sha256`, of the
        adapter's weights, None without an adapter; `whole`, whether the pipeline has all weights
        of its own, and `whole_sha256`, of these, None where they were never saved; `device`,
        torch's name of it.
    RAISES (ValueError, OSError): A base or an adapter that can't be had.
    """
    device = component.shim.load().device
    try:
        saved = component.shim.saved()
    except ValueError:  # all weights were trained since they were loaded: no file holds them
        saved = SavedModel({"name": component.shim.settings.name, "whole": True})
    adapter = [data for name, data in sorted(saved.files.items()) if name.endswith(".safetensors")]
    return {
        "base": saved.base.get("name"),
        "sha256": saved.base.get("sha256"),
        "adapter_sha256": hashlib.sha256(b"".join(adapter)).hexdigest() if adapter else None,
        "whole": bool(saved.base.get("whole", False)),
        "whole_sha256": _sha256_of_folder(saved.folder),
        "device": str(device),
    }


def _sha256_of_folder(folder: Path | None) -> str | None:
    weights = [] if folder is None else list(folder.glob("*.safetensors"))
    return sha256_of_files(weights, progress=True) if weights else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
