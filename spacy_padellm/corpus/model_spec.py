"""The tokenizer and the size of a component's network, read without loading weights."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import srsly

from ..engine.model_config import max_positions, text_config
from ..pipeline.component import PadellmNER
from ..prompts.tree_builder import TreeBuilder
from .network_size import NetworkSize

if TYPE_CHECKING:
    from ..model.serialization import SavedModel

# The name of a layer's tensor has the index of the layer; those of embeddings and output have none.
LAYER_INDEX = re.compile(r"\.\d+\.")

TensorShapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class ModelSpec:
    """Properties of a component's model that are known before its weights are loaded.

    builder (TreeBuilder): Builds the component's prompt trees, also above the context length.
    max_positions (int | None): Context length of the network; None where it has no limit.
    size (NetworkSize): Size of the network.
    """

    builder: TreeBuilder
    max_positions: int | None
    size: NetworkSize


def read_model_spec(ner: PadellmNER) -> ModelSpec:
    """Read tokenizer, configuration and tensor shapes of a component's base.

    The component is not changed and loads nothing.

    ner (PadellmNER): The component.
    RETURNS (ModelSpec): The properties.
    RAISES (ValueError, OSError): A base or an adapter that can't be read; see `resolve_weights`.
    """
    from transformers import AutoConfig

    from ..model.network import load_codec
    from ..weights.resolver import resolve_weights

    settings = ner.shim.settings
    saved = ner.shim.saved()
    weights = saved.whole_weights() if saved.folder is not None else resolve_weights(settings.name)
    config = text_config(AutoConfig.from_pretrained(weights.folder, trust_remote_code=False))
    codec, context_length = load_codec(weights.folder), max_positions(config)
    # Trees above the context length are counted, too.
    builder = TreeBuilder(codec, ner.prompt_with_definitions, context_length, check_length=False)

    shapes = _tensor_shapes(weights.folder)
    parameters = sum(map(prod, shapes.values()))
    adapter_parameters, dropout = _adapter(saved, settings.adapter, shapes)
    size = NetworkSize.from_config(config, parameters, adapter_parameters, dropout)
    return ModelSpec(builder, context_length, size)


def _adapter(saved: SavedModel, setting: Any, shapes: TensorShapes) -> tuple[int | None, float]:
    """RETURNS (tuple[int | None, float]): Parameters of the adapter, None without one, and its
    dropout rate."""
    from safetensors import deserialize

    from ..model.adapter import CONFIG_FILE, WEIGHTS_FILE

    if saved.files:
        tensors = deserialize(saved.files[WEIGHTS_FILE])
        config = srsly.json_loads(saved.files[CONFIG_FILE])
        return sum(prod(tensor["shape"]) for _, tensor in tensors), config.get("lora_dropout", 0.0)
    if isinstance(setting, dict) and saved.folder is None:
        return _new_adapter_parameters(shapes, setting), setting.get("lora_dropout", 0.0)
    return None, 0.0


def _tensor_shapes(folder: Path) -> TensorShapes:
    from safetensors import safe_open

    from ..weights.folder import weight_files

    shapes: TensorShapes = {}
    for path in weight_files(folder):
        with safe_open(path, framework="np") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (no mapping)
                shapes[name] = tuple(tensors.get_slice(name).get_shape())
    return shapes


def _new_adapter_parameters(shapes: TensorShapes, adapter: dict[str, Any]) -> int:
    """RETURNS (int): Parameters of a new LoRA adapter: rank x (inputs + outputs) per matrix."""
    from ..model.adapter import DEFAULTS

    parameters = {**DEFAULTS, **adapter}
    modules = parameters["target_modules"]
    names = [
        name
        for name, shape in shapes.items()
        if len(shape) == 2
        and name.endswith(".weight")
        and LAYER_INDEX.search(name)
        and (isinstance(modules, str) or name.split(".")[-2] in modules)
    ]
    return sum(int(parameters["r"]) * sum(shapes[name]) for name in names)
