"""Where figures come from: the model's identity and the versions of what ran it."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .component import PadellmNER

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
        adapter's weights, None without an adapter; `whole`, whether all weights were saved with
        the pipeline; `device`, torch's name of it.
    RAISES (ValueError, OSError): A base or an adapter that can't be had.
    """
    device = component.shim.load().device
    saved = component.shim.saved()
    adapter = [data for name, data in sorted(saved.files.items()) if name.endswith(".safetensors")]
    return {
        "base": saved.base.get("name"),
        "sha256": saved.base.get("sha256"),
        "adapter_sha256": hashlib.sha256(b"".join(adapter)).hexdigest() if adapter else None,
        "whole": bool(saved.base.get("whole", False)),
        "device": str(device),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
