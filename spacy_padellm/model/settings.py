"""The settings of the model in the config."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

DTYPES = ("float32", "bfloat16", "float16")
SAVES = ("adapter", "whole")
QUANTIZE = ("int8",)


@dataclass(frozen=True)
class ModelSettings:
    """The settings of `spacy-padellm.CausalLM.v1`, validated by the architecture.

    name (str): The base: "smollm2-135m", a folder, a GGUF file or a name on the hub.
    adapter (str | dict | None): Folder of a peft adapter, LoRA parameters of a new one, or None.
    device (str | None): torch's name of a device; None for the device of spaCy (`prefer_gpu`).
    dtype (str | None): dtype of the weights; None for float32 on a CPU and bfloat16 elsewhere.
        Training on a GPU computes in bfloat16 (autocast) unless this is "float32".
    save (str): What `to_disk` writes of a model with an adapter: "adapter" or "whole".
    compile (bool): Whether torch compiles the layers for training on a GPU.
    quantize (str | None): "int8" for int8 linear layers on a CPU, which can't be trained; None for
        none.
    """

    name: str
    adapter: str | dict[str, Any] | None = None
    device: str | None = None
    dtype: str | None = None
    save: str = "adapter"
    compile: bool = False
    quantize: str | None = None

    @property
    def adapter_folder(self) -> Path | None:
        """RETURNS (Path | None): Folder of the adapter; None for a new adapter and for none."""
        if self.adapter is None or isinstance(self.adapter, dict):
            return None
        return Path(self.adapter)
