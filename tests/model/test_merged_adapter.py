"""An adapter is merged into the weights for decoding, which does not change training."""

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
    """With an adapter of random weights; the output of a new adapter is 0."""
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
    return {name: tensor.clone() for name, tensor in shim.load().network.state_dict().items()}


def equal(left, right):
    return left.keys() == right.keys() and all(
        torch.equal(left[name], right[name]) for name in left
    )


def test_same_results(shim, trees):
    with torch.inference_mode():
        before = shim.load().nll(trees)
        merged = shim.for_decoding()
        assert merged is shim.load()
        assert torch.allclose(merged.nll(trees), before, atol=1e-4)
        with merged.network.disable_adapter():  # unmerges it
            assert not torch.allclose(merged.nll(trees), before, atol=1e-2)
    layers = [layer for layer in merged.network.modules() if hasattr(layer, "merged_adapters")]
    assert layers


def test_merged_once(shim):
    shim.for_decoding()
    merged = weights(shim)
    shim.for_decoding()
    assert equal(weights(shim), merged)


@pytest.mark.parametrize("is_train", [True, False])
def test_training_has_the_unchanged_base(shim, trees, is_train):
    """To the last bit: unmerging by arithmetic would round the weights."""
    as_loaded, saved = weights(shim), shim.to_bytes()
    shim.for_decoding()
    assert not equal(weights(shim), as_loaded)
    assert shim.to_bytes() == saved
    shim(trees, is_train)
    assert equal(weights(shim), as_loaded)
    shim.for_decoding()  # what is being trained is left as it is
    assert equal(weights(shim), as_loaded)


def test_whole_save_of_a_merged_model(shim, tmp_path):
    plain, merged = shim.copy(), shim.copy()
    for copied in (plain, merged):
        copied.settings = replace(copied.settings, save="whole")
    merged.for_decoding()
    plain.to_disk(tmp_path / "plain")
    merged.to_disk(tmp_path / "merged")
    files = sorted(path.name for path in (tmp_path / "plain").iterdir())
    assert any(name.endswith(".safetensors") for name in files)
    for name in files:
        path = tmp_path / "plain" / name
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "merged" / name).read_bytes()


def test_model_without_adapter_is_unchanged(tiny_base):
    shim = CausalLMShim(ModelSettings(str(tiny_base), None, "cpu"))
    before = weights(shim)
    shim.for_decoding()
    assert equal(weights(shim), before)
