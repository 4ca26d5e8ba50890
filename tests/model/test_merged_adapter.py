"""An adapter is folded into the weights for decoding, and training knows nothing of it."""

from dataclasses import replace

import pytest
import torch

from spacy_padellm.model.settings import ModelSettings
from spacy_padellm.model.shim import CausalLMShim
from spacy_padellm.prompts.prompt import make_prompt
from spacy_padellm.prompts.tree_builder import TreeBuilder

pytest_plugins = ["support.pipeline_fixtures"]


@pytest.fixture
def shim(tiny_base):
    """With an adapter that says something; a new one says nothing yet."""
    torch.manual_seed(0)
    adapter = {"r": 2, "init_lora_weights": False}
    shim = CausalLMShim(ModelSettings(str(tiny_base), adapter, "cpu"))
    shim.load()
    return shim


@pytest.fixture
def trees(shim):
    builder = TreeBuilder(shim.load().codec, make_prompt())
    return builder.gold_trees(["Bo met Ann."], [{"person": ["Bo", "Ann"]}])


def weights(shim):
    return {name: one.clone() for name, one in shim.load().network.state_dict().items()}


def equal(ones, others):
    return ones.keys() == others.keys() and all(
        torch.equal(ones[name], others[name]) for name in ones
    )


def test_the_same_answers(shim, trees):
    with torch.inference_mode():
        before = shim.load().nll(trees)
        folded = shim.for_decoding()
        assert folded is shim.load()
        assert torch.allclose(folded.nll(trees), before, atol=1e-4)
        with folded.network.disable_adapter():  # takes it out again
            assert not torch.allclose(folded.nll(trees), before, atol=1e-2)
    layers = [one for one in folded.network.modules() if hasattr(one, "merged_adapters")]
    assert layers


def test_folded_once(shim):
    shim.for_decoding()
    once = weights(shim)
    shim.for_decoding()
    assert equal(weights(shim), once)


@pytest.mark.parametrize("is_train", [True, False])
def test_training_has_the_base_as_it_was(shim, trees, is_train):
    """To the last bit: taking the adapter out of the weights again would round them."""
    as_loaded, saved = weights(shim), shim.to_bytes()
    shim.for_decoding()
    assert not equal(weights(shim), as_loaded)
    assert shim.to_bytes() == saved
    shim(trees, is_train)
    assert equal(weights(shim), as_loaded)
    shim.for_decoding()  # what is being trained is left as it is
    assert equal(weights(shim), as_loaded)


def test_the_whole_of_a_folded_model(shim, tmp_path):
    plain, folded = shim.copy(), shim.copy()
    for one in (plain, folded):
        one.settings = replace(one.settings, save="whole")
    folded.for_decoding()
    plain.to_disk(tmp_path / "plain")
    folded.to_disk(tmp_path / "folded")
    files = sorted(path.name for path in (tmp_path / "plain").iterdir())
    assert any(name.endswith(".safetensors") for name in files)
    for name in files:
        path = tmp_path / "plain" / name
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "folded" / name).read_bytes()


def test_a_model_without_adapter_is_as_it_is(tiny_base):
    shim = CausalLMShim(ModelSettings(str(tiny_base), None, "cpu"))
    before = weights(shim)
    shim.for_decoding()
    assert equal(weights(shim), before)
