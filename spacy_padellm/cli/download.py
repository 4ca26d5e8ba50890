"""Command `download`: download, convert and verify a base model."""

import typer
from wasabi import msg

from ..weights.resolver import DEFAULT_NAME, Weights, resolve_weights


def download_cli(
    name: str = typer.Argument(
        DEFAULT_NAME, help="Base model: smollm2-135m, a folder, a .gguf file, or owner/name."
    ),
    force: bool = typer.Option(
        False, "--force", "-F", help="Download and convert it again, even if it exists."
    ),
) -> None:
    """Download a base model, so that it can be used without a network, and verify it.

    An existing base is verified by the sha256 of its files; a damaged default base is downloaded
    again.
    """
    try:
        weights = resolve_weights(name, verify=True, refresh=force)
    except (OSError, ValueError) as error:
        msg.fail(f"Base model '{name}' is not ready", str(error), exits=1)
    msg.good(f"Base model '{weights.name}' is ready")
    msg.table(describe(weights))


def describe(weights: Weights) -> dict[str, str]:
    """Describe a verified base.

    weights (Weights): The base.
    RETURNS (dict[str, str]): Folder, size in MB and sha256, by heading.
    """
    size = sum(path.stat().st_size for path in weights.folder.iterdir() if path.is_file())
    return {
        "Folder": str(weights.folder),
        "Size": f"{size / 1e6:.1f} MB",
        "SHA256": f"{weights.sha256} (checked)",
    }
