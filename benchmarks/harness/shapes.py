"""Models to measure: random networks of a named shape, and the default base with an adapter."""

from pathlib import Path
from typing import Any

import torch
from wasabi import msg

from spacy_padellm.engine.language_model import LanguageModel
from spacy_padellm.model.network import load_codec
from spacy_padellm.model.settings import ModelSettings
from spacy_padellm.model.shim import CausalLMShim
from spacy_padellm.tokenization.codec import Codec
from spacy_padellm.weights.resolver import resolve_weights

from .forced import ForcedModel

BASE = "smollm2-135m"
ADAPTER = "adapter"  # names the default base with the shipped adapter
# Llama networks. The vocabulary is that of the default base's tokenizer, SmolLM2-135M's 49152
# tokens: half as many again as Llama-2-7B's (2 % more weights).
SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
    },
    "135m": {
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
    },
    "7b": {
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": False,
    },
}
NAMES = (*SHAPES, ADAPTER)


def load_model(name: str, device: str, adapter: Path = Path("assets/adapter")) -> ForcedModel:
    """Load a model to measure, float32 on a CPU and bfloat16 on a GPU.

    name (str): One of NAMES.
    device (str): torch's name of the device.
    adapter (Path): The adapter's folder.
    RETURNS (ForcedModel): The model in evaluation mode, without a script.
    """
    if name not in NAMES:
        msg.fail(f"There is no model {name!r}", f"Known are {', '.join(NAMES)}.", exits=1)
    if device.startswith("cuda") and not torch.cuda.is_available():
        msg.fail(f"torch sees no device {device!r}", "Give --device cpu.", exits=1)
    if name == ADAPTER:
        return ForcedModel(CausalLMShim(ModelSettings(BASE, str(adapter), device)).for_decoding())
    return ForcedModel(random_model(name, load_codec(resolve_weights(BASE).folder), device))


def random_model(name: str, codec: Codec, device: str = "cpu", seed: int = 0) -> LanguageModel:
    """Make a random network of a shape.

    name (str): A key of SHAPES.
    codec (Codec): The tokenizer; its size is the network's vocabulary.
    device (str): torch's name of the device; the weights are initialized on it.
    seed (int): Seed of the weights.
    RETURNS (LanguageModel): The model in evaluation mode, float32 on a CPU and bfloat16 on a GPU.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    size = len(codec.tokenizer)
    config = AutoConfig.for_model(
        "llama", vocab_size=size, bos_token_id=None, eos_token_id=None, **SHAPES[name]
    )
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    torch.manual_seed(seed)
    with torch.device(device):
        network = AutoModelForCausalLM.from_config(config, torch_dtype=dtype)
    # Not probed: a random network of 7B in bfloat16 has more noise than the probe tolerates.
    return LanguageModel(network.eval(), codec)
