import warnings

import pytest
import torch

from spacy_padellm.engine.language_model import LanguageModel
from spacy_padellm.engine.probe import probe
from spacy_padellm.model.network import probed_model


class Changed(torch.nn.Module):
    """A llama whose forward pass does something to its inputs first."""

    def __init__(self, network, change):
        super().__init__()
        self.network, self.change = network, change

    def get_base_model(self):
        return self.network

    def forward(self, **inputs):
        self.change(inputs)
        return self.network(**inputs)


def forget_mask(inputs):
    if inputs["attention_mask"].ndim == 4:
        inputs["attention_mask"] = None


def forget_positions(inputs):
    inputs["position_ids"] = None


def forget_the_cache(inputs):
    inputs["past_key_values"] = None
    mask = inputs["attention_mask"]
    if mask.ndim == 4:  # of the last keys, as many as there are queries
        inputs["attention_mask"] = mask[..., -mask.shape[2] :]


def refuse_mask(inputs):
    if inputs["attention_mask"].ndim == 4:
        raise ValueError("wrong shape for attention_mask")


@pytest.fixture
def llama(tiny_network, toy_codec):
    return LanguageModel(tiny_network("llama"), toy_codec)


def test_a_network_that_takes_trees(llama):
    assert probe(llama) is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions_are_judged_by_their_own_tolerance(llama, dtype):
    llama.network.to(dtype)
    assert probe(llama) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("change", [forget_mask, forget_positions, forget_the_cache])
def test_a_network_that_does_not_follow_the_tree(llama, change, dtype):
    model = LanguageModel(Changed(llama.network.to(dtype), change), llama.codec)
    assert "differ" in probe(model)


def test_a_network_that_refuses_the_mask(llama):
    model = LanguageModel(Changed(llama.network, refuse_mask), llama.codec)
    assert "wrong shape for attention_mask" in probe(model)


@pytest.mark.parametrize("name", ["bloom", "falcon_alibi", "gpt_neo", "mamba"])
def test_networks_that_go_by_name(tiny_network, toy_codec, name):
    assert "by their order in a row" in probe(LanguageModel(tiny_network(name), toy_codec))


@pytest.mark.parametrize("training", [True, False])
def test_dropout_does_not_mislead_and_the_mode_is_kept(tiny_network, toy_codec, training):
    network = tiny_network("gpt2", resid_pdrop=0.5).train(training)
    assert probe(LanguageModel(network, toy_codec)) is None
    assert network.training is training


def test_one_warning_that_says_why(llama, recwarn):
    warnings.simplefilter("always")
    model = probed_model(Changed(llama.network, forget_mask), llama.codec)
    (warning,) = recwarn
    assert warning.category is UserWarning
    assert "'llama' does not support the tree mask: its logits" in str(warning.message)
    assert not model.supports_tree_mask


def test_no_warning_where_trees_are_exact(llama):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert probed_model(llama.network, llama.codec).supports_tree_mask
