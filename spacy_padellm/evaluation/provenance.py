"""Provenance of results: identity of the model's weights, versions of Python and packages."""

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
    """RETURNS (dict[str, str | None]): Version of Python and of each package of `PACKAGES`; None
    for a package that is not installed."""
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def model_identity(component: PadellmNER) -> dict[str, Any]:
    """Identify the weights of a component. Loads them if they are not loaded yet.

    component (PadellmNER): The component.
    RETURNS (dict[str, Any]): `base`, name of the base; `sha256` of the base; `adapter_sha256`, of
        the adapter's weights, None without an adapter; `whole`, whether the pipeline holds all
        weights itself, and `whole_sha256` of those weights, None if they were never saved;
        `device`, its name in torch.
    RAISES (ValueError, OSError): The base or the adapter can't be loaded.
    """
    device = component.shim.load().device
    try:
        saved = component.shim.saved()
    except ValueError:  # all weights were trained after loading: no file holds them
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
