"""What the config says of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

DTYPES = ("float32", "bfloat16", "float16")
SAVES = ("adapter", "whole")
QUANTIZE = ("int8",)


@dataclass(frozen=True)
class ModelSettings:
    """What the config says of the model.

    name (str): Default base, folder, GGUF file or hub name.
    adapter (str | dict | None): Folder of a peft adapter, LoRA's parameters for a new one, or None.
    device (str | None): torch's name of a device; None follows spaCy (`prefer_gpu`).
    dtype (str | None): Of the weights; None is float32 on a CPU and bfloat16 elsewhere. Training
        on a GPU computes in bfloat16 (autocast) unless this is "float32".
    save (str): What `to_disk` writes of a model with an adapter: "adapter" or "whole".
    compile (bool): Whether torch compiles the layers for training on a GPU.
    quantize (str | None): "int8" for int8 linear layers on a CPU, without training; None for none.
    """

    name: str
    adapter: str | dict[str, Any] | None = None
    device: str | None = None
    dtype: str | None = None
    save: str = "adapter"
    compile: bool = False
    quantize: str | None = None
