"""A component's tokenizer and sizes, without its weights."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import srsly

from ..pipeline.component import PadellmNER
from .batches import Shape, shape_of

if TYPE_CHECKING:
    from ..model.serialization import SavedModel
    from ..prompts.tree_builder import TreeBuilder

# A tensor of a layer has the layer's number in its name; embeddings and output have none.
IN_LAYER = re.compile(r"\.\d+\.")


@dataclass(frozen=True)
class ModelSpec:
    """What can be told of a component before its weights are loaded.

    builder (TreeBuilder): Writes its prompts, of any length.
    window (int | None): Positions that the model can tell apart.
    shape (Shape): The size of its network.
    """

    builder: TreeBuilder
    window: int | None
    shape: Shape


def without_weights(ner: PadellmNER) -> ModelSpec:
    """Read tokenizer, configuration and the tensors' shapes of a component's base.

    The component can't be run afterwards: what it holds in the place of a network is only its
    configuration.

    ner (PadellmNER): The component, nothing loaded yet.
    RETURNS (ModelSpec): What was read.
    RAISES (ValueError, OSError): A base or an adapter that can't be had; see `resolve_weights`.
    """
    import torch
    from transformers import AutoConfig

    from ..engine.language_model import LanguageModel
    from ..model.network import load_codec
    from ..weights.resolver import resolve_weights

    settings = ner.shim.settings
    saved = ner.shim.saved()
    weights = saved.whole_weights() if saved.folder is not None else resolve_weights(settings.name)
    config = AutoConfig.from_pretrained(weights.folder, trust_remote_code=False)
    nowhere = SimpleNamespace(weight=torch.empty(0))
    network = SimpleNamespace(config=config, get_input_embeddings=lambda: nowhere)
    model = LanguageModel(network, load_codec(weights.folder))
    ner.shim._model = model
    builder = ner.tree_builder()
    builder.refuses = False  # a text that is too long is to be counted

    shapes = _shapes(weights.folder)
    parameters = sum(map(prod, shapes.values()))
    trained, dropout = _adapter(saved, settings.adapter, shapes)
    shape = shape_of(model.config, parameters, trained, dropout)
    return ModelSpec(builder, model.max_positions, shape)


def _adapter(
    saved: SavedModel, setting: Any, shapes: dict[str, tuple[int, ...]]
) -> tuple[int | None, float]:
    """RETURNS (tuple[int | None, float]): Parameters and dropout of the adapter; None without."""
    from safetensors import deserialize

    from ..model.adapter import CONFIG_FILE, WEIGHTS_FILE

    if saved.files:
        tensors = deserialize(saved.files[WEIGHTS_FILE])
        config = srsly.json_loads(saved.files[CONFIG_FILE])
        return sum(prod(tensor["shape"]) for _, tensor in tensors), config.get("lora_dropout", 0.0)
    if isinstance(setting, dict) and saved.folder is None:
        return _new_parameters(shapes, setting), setting.get("lora_dropout", 0.0)
    return None, 0.0


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    from safetensors import safe_open

    from ..weights.folder import weight_files

    shapes: dict[str, tuple[int, ...]] = {}
    for path in weight_files(folder):
        with safe_open(path, framework="np") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (no mapping)
                shapes[name] = tuple(tensors.get_slice(name).get_shape())
    return shapes


def _new_parameters(shapes: dict[str, tuple[int, ...]], adapter: dict[str, Any]) -> int:
    """RETURNS (int): Parameters of a LoRA adapter: rank x (inputs + outputs) a matrix."""
    from ..model.adapter import DEFAULTS

    parameters = {**DEFAULTS, **adapter}
    modules = parameters["target_modules"]
    names = [
        name
        for name, shape in shapes.items()
        if len(shape) == 2
        and name.endswith(".weight")
        and IN_LAYER.search(name)
        and (isinstance(modules, str) or name.split(".")[-2] in modules)
    ]
    return sum(int(parameters["r"]) * sum(shapes[name]) for name in names)
