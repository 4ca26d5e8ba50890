"""LoRA adapters: settings, creation, saved folders, and the base they belong to."""

import json
import shutil
from pathlib import Path

import pytest
import srsly
import torch

from spacy_padellm.model.adapter import (
    check_adapter_folder,
    check_adapter_setting,
    check_base,
    load_adapter,
    new_adapter,
    read_base,
    save_adapter,
)
from spacy_padellm.weights.resolver import Weights

SHIPPED = Path(__file__).parents[2] / "assets/adapter"
FILES = ["adapter_config.json", "adapter_model.safetensors"]


@pytest.fixture
def adapted(tiny_network):
    """A llama with a new adapter."""
    return new_adapter(tiny_network("llama"), {"r": 4})


def lora_weights(network):
    return {name: value for name, value in network.state_dict().items() if "lora_" in name}


def logits(network):
    with torch.no_grad():
        return network(torch.arange(2, 12)[None]).logits


def randomise(network):
    """Give an adapter random weights: the output of a new one is 0."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for value in lora_weights(network).values():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.3)


# --- settings ---


@pytest.mark.parametrize("adapter", [None, "folder", Path("folder"), {"r": 4}, {}])
def test_valid_settings(adapter):
    check_adapter_setting(adapter)


@pytest.mark.parametrize("adapter", [4, True, ["folder"], b"folder", 1.5])
def test_setting_of_the_wrong_type(adapter):
    with pytest.raises(ValueError, match="folder of a peft adapter or LoRA's parameters") as error:
        check_adapter_setting(adapter)
    assert repr(adapter) in str(error.value)


@pytest.mark.parametrize("parameters", [{"rank": 4}, {"r": 0}, {"r": 4, "target_modules": "none"}])
def test_lora_parameters_that_peft_rejects(parameters, tiny_network):
    with pytest.raises(ValueError, match="r, lora_alpha") as error:
        check_adapter_setting(parameters)
        new_adapter(tiny_network("llama"), parameters)
    assert repr(parameters) in str(error.value)


# --- new adapters ---


def test_new_adapter_changes_nothing_yet(tiny_network):
    plain = logits(tiny_network("llama"))
    network = new_adapter(tiny_network("llama"), {"r": 4})
    torch.testing.assert_close(logits(network.eval()), plain)
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    assert trained == set(lora_weights(network))
    # all linear layers, each with A and B, and never the output layer
    assert len(trained) == 2 * 2 * 7
    assert not any("lm_head" in name for name in trained)


def test_defaults_of_a_new_adapter(tiny_network):
    config = new_adapter(tiny_network("llama"), {}).peft_config["default"]
    assert (config.r, config.lora_alpha) == (16, 32)
    config = new_adapter(tiny_network("llama"), {"r": 2, "target_modules": ["q_proj"]})
    assert config.peft_config["default"].target_modules == {"q_proj"}


# --- saved adapters ---


def test_saved_and_loaded(adapted, tiny_network, tmp_path):
    randomise(adapted)
    save_adapter(adapted, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    again = load_adapter(tiny_network("llama"), tmp_path)
    torch.testing.assert_close(logits(again.eval()), logits(adapted.eval()))
    assert all(p.requires_grad for name, p in again.named_parameters() if "lora_" in name)


def test_saving_twice_gives_the_same_files(adapted, tiny_network, tmp_path):
    randomise(adapted)
    save_adapter(adapted, tmp_path / "a")
    save_adapter(load_adapter(tiny_network("llama"), tmp_path / "a"), tmp_path / "b")
    modules = json.loads((tmp_path / "a" / FILES[0]).read_text())["target_modules"]
    assert modules == sorted(modules)
    assert (tmp_path / "a" / FILES[1]).read_bytes() == (tmp_path / "b" / FILES[1]).read_bytes()


def test_saving_does_not_query_the_hub(adapted, tmp_path, monkeypatch):
    adapted.peft_config["default"].base_model_name_or_path = "owner/name"

    def refuse(*arguments, **settings):
        raise AssertionError("the hub was queried")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", refuse)
    monkeypatch.setattr("huggingface_hub.file_download.http_get", refuse)
    save_adapter(adapted, tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_folder_that_lacks_a_file(adapted, tiny_network, tmp_path, name):
    save_adapter(adapted, tmp_path)
    (tmp_path / name).unlink()
    for read in (check_adapter_folder, lambda folder: load_adapter(tiny_network("llama"), folder)):
        with pytest.raises(FileNotFoundError, match=f"{name} is missing. Give the folder") as error:
            read(tmp_path)
        assert str(tmp_path) in str(error.value)


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no adapter at .*none"):
        check_adapter_folder(tmp_path / "none")


def test_adapter_whose_shapes_do_not_fit(adapted, tiny_network, tmp_path):
    save_adapter(adapted, tmp_path)
    other = tiny_network("llama", hidden_size=64)
    with pytest.raises(ValueError, match="does not fit the base 'llama'") as error:
        load_adapter(other, tmp_path)
    assert str(tmp_path) in str(error.value)


def test_adapter_of_another_architecture(adapted, tiny_network, tmp_path):
    save_adapter(adapted, tmp_path)
    with pytest.raises(ValueError, match="does not fit the base 'gpt2'"):
        load_adapter(tiny_network("gpt2"), tmp_path)


def test_adapter_of_fewer_layers(tiny_network, tmp_path):
    small = tiny_network("llama", num_hidden_layers=1)
    save_adapter(new_adapter(small, {"r": 4, "target_modules": ["q_proj"]}), tmp_path)
    with pytest.raises(ValueError, match="does not fit the base 'llama'"):
        load_adapter(tiny_network("llama"), tmp_path)


@pytest.mark.parametrize("size", [0, 4, 100, -1])
def test_damaged_adapter(adapted, tiny_network, tmp_path, size):
    save_adapter(adapted, tmp_path)
    content = (tmp_path / FILES[1]).read_bytes()
    (tmp_path / FILES[1]).write_bytes(content[:size])
    with pytest.raises(ValueError, match=f"is damaged: {FILES[1]} .* Copy it again") as error:
        load_adapter(tiny_network("llama"), tmp_path)
    assert str(tmp_path) in str(error.value)


# --- the base an adapter belongs to ---

BASE = Weights("near", Path("/near"), "ab" * 32)


@pytest.mark.parametrize("saved", [{}, {"name": "x", "sha256": None}, {"sha256": BASE.sha256}])
def test_base_that_is_the_same_or_unknown(saved):
    check_base(saved, BASE, "The adapter")


def test_another_base():
    saved = {"name": "far", "sha256": "cd" * 32}
    with pytest.raises(ValueError, match="The adapter at x was trained on base 'far'") as error:
        check_base(saved, BASE, "The adapter at x")
    for part in ("cd" * 32, BASE.sha256, "'near'", "name"):
        assert part in str(error.value)


def test_base_beside_an_adapter(tmp_path):
    assert read_base(tmp_path) == {}
    srsly.write_json(tmp_path / "base.json", {"name": "a", "sha256": "b"})
    assert read_base(tmp_path) == {"name": "a", "sha256": "b"}


def test_shipped_adapter_is_small_and_names_its_base():
    check_adapter_folder(SHIPPED)
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= 10 * 2**20
    base = read_base(SHIPPED)
    assert base["name"] == "smollm2-135m"
    config = srsly.read_json(SHIPPED / "adapter_config.json")
    assert config["base_model_name_or_path"] == "smollm2-135m"


@pytest.mark.weights
def test_shipped_adapter_belongs_to_the_default_base():
    from spacy_padellm.weights.resolver import resolve_weights

    weights = resolve_weights("smollm2-135m")
    base = read_base(SHIPPED)
    assert base["sha256"] == weights.sha256
    check_base(base, weights, "The shipped adapter")


def test_copied_adapter_keeps_its_base(tmp_path):
    copy = shutil.copytree(SHIPPED, tmp_path / "copy")
    assert read_base(copy) == read_base(SHIPPED)
