"""Command `download`: fetch, convert and check a base."""

import typer
from wasabi import msg

from ..weights.resolver import DEFAULT_NAME, Weights, resolve_weights


def download_cli(
    name: str = typer.Argument(
        DEFAULT_NAME, help="Base model: smollm2-135m, a folder, a .gguf file, or owner/name."
    ),
    force: bool = typer.Option(
        False, "--force", "-F", help="Fetch and convert it again, even if it is there."
    ),
) -> None:
    """Make a base model ready for use without a network, and check it.

    A base that is there already is checked by the sha256 of its files; the default base is made
    anew if it is damaged.
    """
    try:
        weights = resolve_weights(name, verify=True, refresh=force)
    except (OSError, ValueError) as error:
        msg.fail(f"Base model '{name}' is not ready", str(error), exits=1)
    msg.good(f"Base model '{weights.name}' is ready")
    msg.table(describe(weights))


def describe(weights: Weights) -> dict[str, str]:
    """What a user wants to know of a base.

    weights (Weights): The base.
    RETURNS (Dict[str, str]): Folder, size in MB and checked sha256, each with its heading.
    """
    size = sum(path.stat().st_size for path in weights.folder.iterdir() if path.is_file())
    return {
        "Folder": str(weights.folder),
        "Size": f"{size / 1e6:.1f} MB",
        "SHA256": f"{weights.sha256} (checked)",
    }
