"""Loading a model: the base, its adapter and the quantization that the settings name."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from ..engine.language_model import LanguageModel
from ..weights.resolver import Weights, resolve_weights
from .adapter import (
    check_adapter_folder,
    check_base,
    has_adapter,
    load_adapter,
    new_adapter,
    read_base,
)
from .device import check_process, checked_device, one_thread_in_forks, spacy_device
from .network import load_codec, load_network, probed_model
from .quantization import check_device, quantize_model
from .serialization import SavedModel
from .settings import ModelSettings


class LoadedModel(NamedTuple):
    """A model in memory, with what is needed to save it.

    model (LanguageModel): The network, with its adapter, and the tokenizer.
    weights (Weights): The folder that its base was read from.
    unquantized (SavedModel | None): The adapter of a quantized model, whose network can't give it
        back: there it is merged and rounded.
    """

    model: LanguageModel
    weights: Weights
    unquantized: SavedModel | None


def load_model(settings: ModelSettings, saved: SavedModel | None) -> LoadedModel:
    """Load the base and the adapter, verify that they belong together, and quantize.

    settings (ModelSettings): The settings of the config.
    saved (SavedModel | None): A saved state. Its adapter or its weights take precedence over the
        adapter of the settings.
    RETURNS (LoadedModel): The model, in evaluation mode.
    RAISES (ValueError, OSError): A base or an adapter that is missing or invalid; see
        `resolve_weights` and `load_adapter`. A device that can't run the quantization.
    RAISES (RuntimeError): A GPU in a process that was forked after CUDA had started.
    """
    device = _prepared_device(settings)
    if saved is not None and not saved.holds_weights:
        saved = None
    if saved is None and settings.adapter_folder is not None:
        check_adapter_folder(settings.adapter_folder)
    if saved is not None and saved.folder is not None:
        weights = saved.whole_weights()
    else:
        weights = resolve_weights(settings.name)
    network = load_network(weights.folder, device, _dtype(settings, device))
    if saved is not None:
        network = saved.attach(network, weights)
    else:
        network = _with_adapter(network, settings, weights)
    model = probed_model(network, load_codec(weights.folder))
    unquantized = None
    if settings.quantize is not None:
        if has_adapter(model):
            unquantized = SavedModel.of(model, weights)
        quantize_model(model)
    return LoadedModel(model, weights, unquantized)


def _prepared_device(settings: ModelSettings) -> torch.device:
    one_thread_in_forks()
    device = checked_device(settings.device or spacy_device())
    check_process(device)
    if settings.quantize is not None:
        check_device(device.type)
    return device


def _dtype(settings: ModelSettings, device: torch.device) -> torch.dtype:
    default = "float32" if device.type == "cpu" else "bfloat16"
    return getattr(torch, settings.dtype or default)


def _with_adapter(network: Any, settings: ModelSettings, weights: Weights) -> Any:
    if isinstance(settings.adapter, dict):
        return new_adapter(network, settings.adapter)
    folder = settings.adapter_folder
    if folder is None:
        return network
    check_base(read_base(folder), weights, f"The adapter at {folder}")
    return load_adapter(network, folder)
