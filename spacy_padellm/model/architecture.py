"""The thinc architecture: from prompt trees to the negative log-likelihood of each target."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from thinc.api import Model, NumpyOps, torch2xp, xp2torch
from thinc.types import Floats1d

from ..prompts.tree import PromptTree
from .adapter import check_adapter_setting
from .settings import DTYPES, QUANTIZE, SAVES, ModelSettings
from .shim import CausalLMShim


def build_causal_lm(
    name: str = "smollm2-135m",
    adapter: str | Path | dict[str, Any] | None = None,
    device: str | None = None,
    dtype: str | None = None,
    save: str = "adapter",
    compile: bool = False,
    quantize: str | None = None,
) -> Model[list[PromptTree], Floats1d]:
    """Registered as `spacy-padellm.CausalLM.v1` in spaCy's `architectures` registry.

    name (str): The base: "smollm2-135m", a folder that transformers reads, a GGUF file, or a name
        on the Hugging Face hub.
    adapter (str | Path | dict[str, Any] | None): Folder of a peft adapter, parameters such as
        {"r": 16} for a new LoRA adapter, or None to use (and train) the base's own weights.
    device (str | None): torch's name of a device, such as "cuda"; None for the device of
        spaCy (`prefer_gpu`).
    dtype (str | None): "float32", "bfloat16" or "float16"; None for float32 on a CPU and
        bfloat16 elsewhere.
    save (str): What `to_disk` writes of a model with an adapter: "adapter", which needs the base
        where it is loaded, or "whole", all weights with the adapter merged.
    compile (bool): Whether torch compiles the layers for training on a GPU: the first steps take
        longer, all others less.
    quantize (str | None): "int8" for linear layers in int8: faster on a CPU and in less memory,
        a little less exact, and not for training. `to_disk` writes the same files as without
        quantization. None for none.
    RETURNS (Model[list[PromptTree], Floats1d]): The model. Its weights are loaded at first use.
    RAISES (ValueError): A setting of the wrong type or with an unknown value.
    """
    if not isinstance(name, str | Path) or not str(name).strip():
        raise ValueError(
            f"The base model's name must be a name or a path, such as 'smollm2-135m', not {name!r}."
        )
    check_adapter_setting(adapter)
    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)} or null, not {dtype!r}.")
    if save not in SAVES:
        raise ValueError(f"save must be one of {', '.join(SAVES)}, not {save!r}.")
    if quantize is not None and quantize not in QUANTIZE:
        raise ValueError(f"quantize must be {', '.join(QUANTIZE)} or null, not {quantize!r}.")
    folder = str(adapter) if isinstance(adapter, Path) else adapter
    settings = ModelSettings(str(name), folder, device, dtype, save, compile, quantize)
    return Model("padellm_causal_lm", forward, init=init, shims=[CausalLMShim(settings)])


def forward(
    model: Model[list[PromptTree], Floats1d], trees: list[PromptTree], is_train: bool
) -> tuple[Floats1d, Callable[[Floats1d], list[PromptTree]]]:
    """Compute the negative log-likelihood of each target.

    model (Model[list[PromptTree], Floats1d]): The thinc model.
    trees (list[PromptTree]): Trees with targets.
    is_train (bool): Whether the callback can compute gradients.
    RETURNS (tuple[Floats1d, Callable[[Floats1d], list[PromptTree]]]): float32 [targets] in nats,
        and a callback that takes the gradient with respect to them [targets]. It returns an empty
        list, as trees have no gradient.
    """
    nll, backprop_torch = model.shims[0](trees, is_train)
    # Without CuPy a GPU's results are copied to numpy; thinc's default would import CuPy.
    ops = model.ops if nll.is_cuda else NumpyOps()

    def backprop(gradient: Floats1d) -> list[PromptTree]:
        backprop_torch(xp2torch(gradient))
        return []

    return cast(Floats1d, torch2xp(nll, ops=ops)), backprop


def init(model: Model[list[PromptTree], Floats1d], X: Any = None, Y: Any = None) -> None:
    """Load the weights."""
    cast(CausalLMShim, model.shims[0]).load()
