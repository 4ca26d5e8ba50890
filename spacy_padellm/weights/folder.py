"""Checks of a folder that transformers loads a base from."""

import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
SHARD = re.compile(r"[^/\\]+\.safetensors")
TOKENIZERS = ("tokenizer*", "vocab*", "*.model", "*.tiktoken", "tekken.json")


def weight_files(folder: Path) -> list[Path]:
    """List the files that transformers reads the weights from.

    folder (Path): A folder with a base.
    RETURNS (list[Path]): `model.safetensors`, or the shards that the index names; they may be
        missing. Empty if there is neither, or the index can't be read.
    RAISES (ValueError): An index that names something other than files of the folder.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    index = _read_json(folder / INDEX) or {}
    shards = index.get("weight_map")
    if not isinstance(shards, dict) or not shards:
        return []
    for name in shards.values():
        if not isinstance(name, str) or not SHARD.fullmatch(name):
            raise ValueError(
                f"{folder / INDEX} names {name!r} as a file of weights. Only .safetensors files of "
                "its own folder are read: put them there, and don't use a base that you don't "
                "trust."
            )
    return [folder / name for name in sorted(set(shards.values()))]


def find_missing(folder: Path) -> str | None:
    """Find what a folder lacks to be loaded as a base.

    folder (Path): The folder.
    RETURNS (str | None): What is missing and the remedy; None if nothing is missing.
    """
    if (folder / "adapter_config.json").is_file() and not (folder / CONFIG).is_file():
        return (
            f"It has no {CONFIG} but an adapter_config.json: an adapter. Give it as `adapter`, and "
            "the base that it was trained on as `name`."
        )
    config = _read_json(folder / CONFIG)
    if not (folder / CONFIG).is_file():
        return f"It has no {CONFIG}. Give a folder written by save_pretrained."
    if config is None or "model_type" not in config:
        return f"Its {CONFIG} is no JSON object with a model_type."
    files = weight_files(folder)
    if not files:
        return _explain_no_weights(folder)
    absent = [path.name for path in files if not path.is_file()]
    if absent:
        return f"It lacks {', '.join(absent)}, which {INDEX} names. Copy or fetch it again."
    if not any(any(folder.glob(pattern)) for pattern in TOKENIZERS):
        return "It has no tokenizer files, such as tokenizer.json. Save the tokenizer there too."
    return None


def check_folder(folder: Path) -> None:
    """Check that transformers loads a folder, and loads it correctly.

    folder (Path): The folder.
    RAISES (ValueError): A folder that can't be loaded, with the remedy.
    """
    problem = find_code(folder) or find_missing(folder) or _find_newer(folder)
    if problem:
        raise ValueError(f"Folder {folder} can't be used as a base model. {problem}")


def _find_newer(folder: Path) -> str | None:
    """RETURNS (str | None): An error message, if transformers 4 would ignore rope_parameters."""
    config = _read_json(folder / CONFIG) or {}
    installed = version("transformers")
    if int(installed.partition(".")[0]) >= 5 or "rope_parameters" not in config:
        return None
    return (
        f"Its {CONFIG} was written by transformers {config.get('transformers_version', '5')} and "
        f"gives rope_parameters, which transformers {installed} ignores silently. "
        "Install transformers 5, or save the base by transformers 4."
    )


def find_code(folder: Path) -> str | None:
    """RETURNS (str | None): An error message, if a base needs Python code of its own."""
    config = _read_json(folder / CONFIG) or {}
    if "auto_map" not in config:
        return None
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    if config.get("model_type") in CONFIG_MAPPING_NAMES:
        return None
    return (
        f"Its {CONFIG} needs Python code of its own (auto_map, model_type "
        f"{config.get('model_type')!r}), and no code of a base is run (trust_remote_code is always "
        f"off). Use a base of a type that transformers {version('transformers')} knows."
    )


def _explain_no_weights(folder: Path) -> str:
    """RETURNS (str): Why no weights were found in a folder, and the remedy."""
    if (folder / INDEX).is_file():
        return f"Its {INDEX} has no weight_map. Copy or fetch it again."
    if pickles := sorted(path.name for kind in PICKLES for path in folder.glob(kind)):
        return (
            f"It holds its weights as {', '.join(pickles)}, a kind of file that can run code where "
            "it is read, and only safetensors are read. If you trust it, convert it by "
            "AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder)."
        )
    other = sorted(path.name for path in folder.glob("*.safetensors"))
    found = f", but {', '.join(other)}" if other else ""
    return f"It has neither {WEIGHTS} nor {INDEX}{found}. Give a folder written by save_pretrained."


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
