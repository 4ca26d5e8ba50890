"""Networks and tokenizers read from a folder of weights."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from ..engine.attention import attention_implementation
from ..engine.language_model import LanguageModel
from ..engine.probe import probe
from ..tokenization.codec import Codec


def load_network(folder: Path, device: str | torch.device, dtype: torch.dtype) -> Any:
    """Read a causal LM, with an attention implementation that takes tree masks.

    folder (Path): The folder that `resolve_weights` returned.
    device (str | torch.device): The device, or torch's name of it.
    dtype (torch.dtype): dtype of the weights.
    RETURNS (transformers.PreTrainedModel): The network, in evaluation mode.
    RAISES (ValueError): A folder without a causal LM that transformers knows, or with weights
        missing.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        options: dict[str, Any] = {
            "torch_dtype": dtype,
            "use_safetensors": True,
            "trust_remote_code": False,
            "output_loading_info": True,
        }
        if (attention := attention_implementation(config)) is not None:
            options["attn_implementation"] = attention
        network, report = AutoModelForCausalLM.from_pretrained(folder, **options)
    except (KeyError, ValueError, TypeError, OSError, RuntimeError, SafetensorError) as error:
        raise ValueError(
            f"transformers can't read the folder {folder} as a causal LM: {error}"
        ) from error
    if report["missing_keys"]:
        raise ValueError(
            f"The folder {folder} lacks weights of a {config.model_type!r} causal LM: "
            f"{', '.join(sorted(report['missing_keys'])[:5])}. Give a folder with all weights of "
            "a causal LM, not of an encoder or a classifier."
        )
    return network.to(device).eval()


def load_codec(folder: Path) -> Codec:
    """Read the tokenizer in a folder of weights.

    folder (Path): The folder.
    RETURNS (Codec): The tokenizer.
    RAISES (ValueError): A tokenizer that transformers can't read without running code of the
        folder.
    """
    from transformers import AutoTokenizer

    try:
        return Codec(AutoTokenizer.from_pretrained(folder, trust_remote_code=False))
    except Exception as error:  # transformers passes on the errors of all its parsers
        raise ValueError(
            f"transformers can't read the tokenizer in the folder {folder}: {error} Copy or fetch "
            "it again; code of a base is never run (trust_remote_code is always off)."
        ) from error


def probed_model(network: Any, codec: Codec) -> LanguageModel:
    """Wrap a network, and probe whether it is exact under the tree mask.

    network (torch.nn.Module): A causal LM, with or without an adapter.
    codec (Codec): Its tokenizer.
    RETURNS (LanguageModel): The model. A network that needs one row per prompt is warned of.
    RAISES (ValueError): A network whose tokens attend to later ones.
    """
    model = LanguageModel(network, codec)
    reason = probe(model)
    if reason is not None:
        model.supports_tree_mask = False
        warnings.warn(
            f"Base model {model.config.model_type!r} does not support the tree mask: {reason}. "
            "Each prompt gets a row of its own instead: the same answers, slower.",
            UserWarning,
            stacklevel=2,
        )
    return model
