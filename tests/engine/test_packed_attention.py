"""Attention without copies of the keys: what transformers' own gives, masks of every form."""

import json

import numpy as np
import pytest
import torch
from support.random_trees import grow

from spacy_padellm.engine.language_model import LanguageModel
from spacy_padellm.engine.packed_attention import NAME, n_groups

SHARING = ["llama", "qwen2", "qwen3", "mistral", "gemma3_text"]
TREES = [grow([(2, [3, 1])], 4, [5, 6, 7]).tree, grow([(1, []), (2, [2])], 9, [8, 9]).tree]


@pytest.fixture
def pair(tiny_network, toy_codec, request):
    """A model with packed attention, and the same one with transformers' own."""
    packed = LanguageModel(tiny_network(request.param), toy_codec)
    plain = LanguageModel(tiny_network(request.param), toy_codec)
    assert packed.base.config._attn_implementation == NAME
    plain.base.config._attn_implementation = "sdpa"
    return packed, plain


@pytest.mark.parametrize("pair", SHARING, indirect=True)
def test_trees_and_their_gradients(pair):
    losses = [model.nll(TREES) for model in pair]
    assert torch.allclose(*losses, atol=1e-4)
    for model, loss in zip(pair, losses, strict=True):
        loss.sum().backward()
        assert model.network.get_input_embeddings().weight.grad is not None
    ones, others = (dict(model.network.named_parameters()) for model in pair)
    for name, one in ones.items():
        assert torch.allclose(one.grad, others[name].grad, atol=1e-3), name


@pytest.mark.parametrize("pair", SHARING, indirect=True)
def test_sequences_with_padding_and_without(pair):
    sequences = [[5, 6, 7, 8, 9, 10, 11, 12, 13], [20, 21], [30, 31, 32, 33]]
    where, ends = np.array([0, 1, 2]), np.array([8, 1, 3])
    with torch.inference_mode():
        ones, others = (model.sequence_logits(sequences, where, ends) for model in pair)
        assert torch.allclose(ones, others, atol=1e-4)
        ids = torch.tensor(sequences[:1])
        ones, others = (model.network(input_ids=ids).logits for model in pair)
        assert torch.allclose(ones, others, atol=1e-4)


def test_models_that_share_no_heads_or_look_nothing_up_are_left_alone(tiny_network, toy_codec):
    for name in ("gpt2", "gemma2", "falcon"):
        network = tiny_network(name)
        before = network.config._attn_implementation
        assert LanguageModel(network, toy_codec).base.config._attn_implementation == before
    assert n_groups(tiny_network("gpt2").config) == 1


def test_what_is_saved_does_not_name_it(tiny_network, toy_codec, tmp_path):
    model = LanguageModel(tiny_network("llama"), toy_codec)
    model.network.save_pretrained(tmp_path)
    assert NAME not in json.dumps(json.loads((tmp_path / "config.json").read_text()))
