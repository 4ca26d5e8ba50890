"""Quantization of networks, and the settings and devices that it refuses."""

import numpy as np
import pytest
import torch
from support.quantized import layers

from spacy_padellm.model.architecture import build_causal_lm
from spacy_padellm.model.quantization import Int8Linear, check_device, quantized_model
from spacy_padellm.model.settings import ModelSettings
from spacy_padellm.model.shim import CausalLMShim

pytest_plugins = ["support.pipeline_fixtures"]


@pytest.mark.parametrize("name", ["llama", "qwen2", "gpt2", "gpt_neox", "phi3", "opt", "bloom"])
def test_networks(tiny_model, name):
    model = tiny_model(name)
    ids = [[5, 9, 30, 22, 7, 61]]

    def logits():
        with torch.inference_mode():
            return model.sequence_logits(ids, np.zeros(4, int), np.arange(2, 6))

    expected = logits()
    model = quantized_model(model)
    assert layers(model, Int8Linear)
    assert not layers(model, torch.nn.Linear)
    assert (logits() - expected).norm() < 0.1 * expected.norm()


def test_network_without_linear_layers(tiny_model):
    model = tiny_model("llama")
    model.network = torch.nn.Embedding(2, 2)
    model.network.config = type("Config", (), {"model_type": "odd"})
    with pytest.raises(ValueError, match="'odd' has no linear layers.*quantize = null"):
        quantized_model(model)


# --- refusals ---


@pytest.mark.parametrize("quantize", ["int4", True, 8])
def test_unknown_setting(quantize):
    with pytest.raises(ValueError, match="quantize must be int8 or null, not"):
        build_causal_lm(quantize=quantize)


@pytest.mark.parametrize("device", ["cuda:0", "mps"])
def test_other_devices(device):
    with pytest.raises(ValueError, match=f'for a CPU, and the device is "{device}".*Set device'):
        check_device(device)


def test_device_of_the_settings(tiny_base, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    shim = CausalLMShim(ModelSettings(str(tiny_base), None, "cuda", quantize="int8"))
    with pytest.raises(ValueError, match='quantize = "int8" is for a CPU'):
        shim.load()


def test_torch_without_the_kernels(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with pytest.raises(ValueError, match="needs a torch build with oneDNN.*quantize = null"):
        check_device("cpu")
