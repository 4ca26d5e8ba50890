"""LoRA adapters: creation, folders of saved adapters, and the base that each was trained on."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import srsly

from ..weights.checksums import sha256_of_file
from ..weights.resolver import Weights

if TYPE_CHECKING:
    from ..engine.language_model import LanguageModel

BASE_FILE = "base.json"  # name and sha256 of the base that the adapter was trained on
ADAPTER_SHA256 = "adapter_sha256"  # key in BASE_FILE: sha256 of the adapter's weights
CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
DEFAULTS = {"r": 16, "lora_alpha": 32, "target_modules": "all-linear"}


def check_adapter_setting(adapter: Any) -> None:
    """Verify the setting of the config.

    adapter (Any): The setting.
    RAISES (ValueError): Neither None, a folder, nor parameters of peft's LoraConfig.
    """
    if adapter is not None and not isinstance(adapter, str | Path | dict):
        raise ValueError(
            f"The adapter must be the folder of a peft adapter or LoRA's parameters such as "
            f'{{"r": 16}}, or null for none, not {adapter!r}.'
        )
    if isinstance(adapter, dict):
        _lora_config(adapter)


def check_adapter_folder(folder: Path) -> None:
    """Verify the folder of an adapter before peft reads anything in it.

    folder (Path): The folder.
    RAISES (FileNotFoundError): A folder that is missing or without a peft adapter as safetensors.
    RAISES (ValueError): An adapter that is damaged or of an unsupported kind.
    """
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            pickled = folder / "adapter_model.bin"
            why = f", and {pickled.name} is not read, since it can run code" * pickled.is_file()
            raise FileNotFoundError(
                f"There is no adapter at {folder}: {name} is missing{why}. Give the folder that "
                f"peft's save_pretrained wrote ({CONFIG_FILE}, {WEIGHTS_FILE}), or parameters such "
                'as {"r": 16} for a new one.'
            )
    _check_peft_type(folder / CONFIG_FILE)
    expected = read_base(folder).get(ADAPTER_SHA256)
    if expected is not None and expected != (actual := sha256_of_file(folder / WEIGHTS_FILE)):
        raise ValueError(
            f"The adapter at {folder} is damaged: {WEIGHTS_FILE} has sha256 {actual} instead of "
            f"{expected}. Copy it again; if the change is meant, remove {ADAPTER_SHA256} from "
            f"{BASE_FILE}."
        )


def _check_peft_type(path: Path) -> None:
    try:
        config = srsly.read_json(path)
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}. Copy the adapter again.") from error
    peft_type = config.get("peft_type") if isinstance(config, dict) else config
    if peft_type != "LORA":
        raise ValueError(
            f"{path} describes an adapter of peft_type {peft_type!r}. Only LORA is supported: "
            "other kinds can't be merged into the weights, and may read files that they name."
        )
    _check_megatron(config, str(path))


def _check_megatron(parameters: dict[str, Any], source: str) -> None:
    # peft imports the module that megatron_core names.
    if parameters.get("megatron_config") is not None:
        raise ValueError(
            f"{source} sets megatron_config, with which peft imports the module "
            f"{parameters.get('megatron_core')!r}. Set it to null."
        )


def check_base(saved: dict[str, Any], weights: Weights, adapter_name: str) -> None:
    """Verify that an adapter was trained on a base.

    saved (dict[str, Any]): Contents of `base.json`: name and sha256.
    weights (Weights): The base that was found.
    adapter_name (str): Name of the adapter in the error message.
    RAISES (ValueError): A different sha256.
    """
    if saved.get("sha256") not in (None, weights.sha256):
        raise ValueError(
            f"{adapter_name} was trained on base {saved['name']!r} with sha256 {saved['sha256']}, "
            f"but {weights.name!r} ({weights.folder}) has sha256 {weights.sha256}. Give the base "
            "it was trained on as `name` in the component's [model] block."
        )


def read_base(folder: Path) -> dict[str, Any]:
    """Read `base.json` beside an adapter.

    folder (Path): The adapter's folder.
    RETURNS (dict[str, Any]): Name and sha256 of the base; empty if there is no such file.
    RAISES (ValueError): A file that is not a JSON object.
    """
    path = folder / BASE_FILE
    try:
        base = srsly.read_json(path) if path.is_file() else {}
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}. Copy the folder again.") from error
    if not isinstance(base, dict):
        raise ValueError(f"{path} must hold a JSON object with name and sha256, not {base!r}.")
    return base


def new_adapter(network: Any, parameters: dict[str, Any]) -> Any:
    """Put a new LoRA adapter on a network.

    network (transformers.PreTrainedModel): The base.
    parameters (dict[str, Any]): Parameters of peft's LoraConfig; DEFAULTS for those not given.
    RETURNS (peft.PeftModel): The network with an adapter whose output is 0 before training.
    RAISES (ValueError): Parameters that peft rejects.
    """
    from peft import get_peft_model

    config = _lora_config(parameters)
    try:
        return get_peft_model(network, config)
    except (TypeError, ValueError) as error:
        raise _rejected(parameters, error) from error


def load_adapter(network: Any, folder: Path) -> Any:
    """Put a saved adapter on a network, with weights that take gradients.

    network (transformers.PreTrainedModel): The base.
    folder (Path): The folder that peft's `save_pretrained` wrote.
    RETURNS (peft.PeftModel): The network with the adapter.
    RAISES (FileNotFoundError): A folder without an adapter.
    RAISES (ValueError): An adapter that is damaged, or whose shapes don't fit the base.
    """
    from peft import PeftModel
    from safetensors import SafetensorError

    check_adapter_folder(folder)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Found missing adapter keys")
            # Without the device peft would load onto a GPU wherever there is one.
            return PeftModel.from_pretrained(
                network, folder, is_trainable=True, torch_device=str(network.device)
            )
    except SafetensorError as error:
        raise ValueError(
            f"The adapter at {folder} is damaged: {WEIGHTS_FILE} can't be read ({error}). Copy it "
            "again."
        ) from error
    except (RuntimeError, ValueError, KeyError, UserWarning) as error:
        raise ValueError(
            f"The adapter at {folder} does not fit the base {network.config.model_type!r}: {error}"
        ) from error


def save_adapter(network: Any, folder: Path) -> None:
    """Write an adapter as peft does, with its target modules in a fixed order.

    network (peft.PeftModel): The network with the adapter.
    folder (Path): The folder to write; created if missing.
    """
    # Embeddings are not trained with an adapter. With the default peft would query the hub.
    network.save_pretrained(folder, save_embedding_layers=False)
    path = folder / CONFIG_FILE
    config = json.loads(path.read_text(encoding="utf8"))
    if isinstance(config.get("target_modules"), list):
        config["target_modules"].sort()
    path.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf8")
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card


def has_adapter(model: LanguageModel) -> bool:
    """RETURNS (bool): Whether the network is peft's wrapper around a base."""
    return model.network is not model.base


def _lora_config(parameters: dict[str, Any]) -> Any:
    from peft import LoraConfig

    _check_megatron(parameters, "The adapter setting")
    try:
        return LoraConfig(task_type="CAUSAL_LM", **{**DEFAULTS, **parameters})
    except (TypeError, ValueError) as error:
        raise _rejected(parameters, error) from error


def _rejected(parameters: dict[str, Any], error: Exception) -> ValueError:
    return ValueError(
        f"peft does not take these LoRA parameters: {parameters!r} ({error}). The usual ones are "
        "r, lora_alpha, lora_dropout, target_modules."
    )
