"""What a folder must hold for transformers to load a base from it."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
TOKENIZERS = ("tokenizer*", "vocab*", "*.model", "*.tiktoken", "tekken.json")


def weight_files(folder: Path) -> list[Path]:
    """The files that transformers reads the weights from.

    folder (Path): A folder with a base.
    RETURNS (List[Path]): `model.safetensors`, or the shards that the index names; they may be
        missing. Empty if there is neither, or the index can't be read.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    index = _read_json(folder / INDEX) or {}
    shards = index.get("weight_map")
    return [folder / name for name in sorted(set(shards.values()))] if shards else []


def find_missing(folder: Path) -> str | None:
    """What a folder lacks to be a base, and what to do about it.

    folder (Path): The folder.
    RETURNS (Optional[str]): A sentence, or None if nothing is missing.
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
    """Refuse a folder that transformers can't load, or would load wrongly.

    folder (Path): The folder.
    RAISES (ValueError): With what is wrong and what to do.
    """
    problem = find_missing(folder) or _find_newer(folder)
    if problem:
        raise ValueError(f"Folder {folder} can't be used as a base model. {problem}")


def _find_newer(folder: Path) -> str | None:
    config = _read_json(folder / CONFIG) or {}
    installed = version("transformers")
    if int(installed.partition(".")[0]) >= 5 or "rope_parameters" not in config:
        return None
    return (
        f"Its {CONFIG} was written by transformers {config.get('transformers_version', '5')} and "
        f"gives rope_parameters, which transformers {installed} passes over without a word. "
        "Install transformers 5, or save the base by transformers 4."
    )


def _explain_no_weights(folder: Path) -> str:
    if (folder / INDEX).is_file():
        return f"Its {INDEX} has no weight_map. Copy or fetch it again."
    if any(folder.glob("pytorch_model*.bin")):
        return (
            "It holds its weights as pytorch_model.bin, and only safetensors are read. Convert "
            "it by AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder)."
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
