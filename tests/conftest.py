"""Shared fixtures: a toy tokenizer, tiny random networks, the shipped model and the data beside.

Nothing heavy is imported before a fixture needs it, and nothing here goes to the network but the
default base, once, where it is not yet converted.
"""

import copy
import os
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
settings.register_profile("default", deadline=None, print_blob=True)
settings.load_profile("default")

ROOT = Path(__file__).parent.parent
ADAPTER = ROOT / "assets" / "adapter"

# What a tiny network needs beyond the sizes that all share (see `tiny_network`).
TINY_CONFIGS = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"head_dim": 8},
    "mistral": {"sliding_window": 6, "head_dim": 8},
    "gemma2": {"sliding_window": 6, "head_dim": 8},
    "gemma3_text": {
        "sliding_window": 6,
        "head_dim": 8,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "phi3": {"sliding_window": 6, "pad_token_id": 0},
    "gpt2": {},
    "gpt_neox": {},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "stablelm": {"num_key_value_heads": 4},
    "olmo2": {},
    "falcon": {"alibi": False, "new_decoder_architecture": False},
    "gptj": {"rotary_dim": 4},
    "granite": {"logits_scaling": 4.0, "residual_multiplier": 0.5},
    "cohere": {},
    # Networks that need one row a prompt.
    "bloom": {},
    "falcon_alibi": {"alibi": True, "new_decoder_architecture": False},
    "mpt": {"d_model": 32, "n_layers": 2},
    "gpt_neo": {
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 4,
    },
    "mamba": {"state_size": 4, "expand": 2},
}


@pytest.fixture(scope="session")
def shared_data():
    """The folder of NER data beside the repository: NAME/{train,dev,test}.jsonl."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the NER data that lies beside the repository, in {folder}")
    return folder


@pytest.fixture(scope="session")
def toy_tokenizer():
    """A tokenizer over single bytes and a few merges, with special tokens; it decodes exactly."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("t", "h"), ("th", "e"), ("Ġ", "a"), ("i", "n"), ("n", "u"), ("nu", "m")]
    pieces = ["<|endoftext|>", "<|im_end|>", *alphabet, *("".join(pair) for pair in merges)]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|endoftext|>",
        additional_special_tokens=["<|im_end|>"],
    )


@pytest.fixture(scope="session")
def toy_codec(toy_tokenizer):
    from spacy_padellm.tokenization.codec import Codec

    return Codec(toy_tokenizer)


@pytest.fixture(scope="session")
def tiny_network(toy_tokenizer):
    """A function that makes a random network of a type in TINY_CONFIGS, the same each time."""

    def make(name, **options):
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM

        from spacy_padellm.engine.attention import attention_implementation

        sizes = {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 256,
            "vocab_size": len(toy_tokenizer),
            "bos_token_id": 0,
            "eos_token_id": 0,
        }
        if name in ("llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3_text"):
            sizes["num_key_value_heads"] = 2
        model_type = name.removesuffix("_alibi")
        config = AutoConfig.for_model(model_type, **{**sizes, **TINY_CONFIGS[name], **options})
        torch.manual_seed(0)
        network = AutoModelForCausalLM.from_config(
            copy.deepcopy(config), attn_implementation=attention_implementation(config)
        )
        _spread(network)
        return network.eval()

    return make


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    """A CPU, which has the shapes of captured passes alone, and a GPU."""
    import torch

    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device: a CPU captures no passes and runs no Triton kernels")
    return request.param


@pytest.fixture(scope="session")
def tiny_model(tiny_network, toy_codec):
    """A function that makes a probed LanguageModel around a tiny random network."""
    from spacy_padellm.model.network import probed_model

    return lambda name, **options: probed_model(tiny_network(name, **options), toy_codec)


@pytest.fixture(scope="session")
def english():
    """The English prompt."""
    from spacy_padellm.prompts.prompt import make_prompt

    return make_prompt("en")


@pytest.fixture(scope="session")
def toy_builder(toy_codec, english):
    """Writes English prompts with the toy tokenizer."""
    from spacy_padellm.prompts.tree_builder import TreeBuilder

    return TreeBuilder(toy_codec, english)


@pytest.fixture(scope="session")
def real_model():
    """The default base with the shipped adapter, float32 on the CPU. Not to be changed."""
    from spacy_padellm.model.settings import ModelSettings
    from spacy_padellm.model.shim import CausalLMShim

    return CausalLMShim(ModelSettings("smollm2-135m", str(ADAPTER), "cpu", "float32")).load()


@pytest.fixture(scope="session")
def shipped_prompt():
    """The prompt that the shipped adapter was trained on."""
    from spacy_padellm.prompts.prompt import make_prompt

    return make_prompt("en", both_ways=True, tag_text=True)


@pytest.fixture(scope="session")
def real_builder(real_model, shipped_prompt):
    """Writes prompts for the shipped model."""
    from spacy_padellm.prompts.tree_builder import TreeBuilder

    return TreeBuilder(real_model.codec, shipped_prompt, real_model.max_positions)


@pytest.fixture(scope="session")
def causal_builder(real_model, english):
    """Writes prompts whose text is read from left to right, as in a plain pass of the base."""
    from spacy_padellm.prompts.tree_builder import TreeBuilder

    return TreeBuilder(real_model.codec, english, real_model.max_positions)


def _spread(network):
    """Widen the weights: a freshly made network is so near to uniform that faults stay small."""
    import torch

    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 2:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(noise / parameter.shape[1] ** 0.5 * 1.5)
