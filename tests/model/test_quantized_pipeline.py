"""A quantized pipeline finds what the float pipeline finds, and is saved in float."""

import copy

import pytest
import spacy
import srsly
import torch
from support.pipelines import LORA, TEXTS, gold_examples
from support.quantized import counts_and_mentions, layers

from spacy_padellm.decoding.replicated import make_replicated_decoder
from spacy_padellm.decoding.tree_decoder import make_tree_decoder
from spacy_padellm.model.shim import CausalLMShim

pytest_plugins = ["support.pipeline_fixtures"]
INT8 = {"components.padellm_ner.model.quantize": "int8"}


@pytest.fixture(scope="module")
def quantized(taught_folder):
    return spacy.load(taught_folder, config=INT8)


def found(nlp, texts=TEXTS):
    return [[(ent.text, ent.label_) for ent in doc.ents] for doc in nlp.pipe(texts)]


def shim_of(nlp):
    return nlp.get_pipe("padellm_ner").shim


def test_finds_what_float_finds(quantized, taught):
    assert any(found(taught))
    assert found(quantized) == found(taught)
    model = shim_of(quantized).load()
    assert model.supports_tree_mask
    assert not layers(model, torch.nn.Linear)
    assert not [name for name, _ in model.network.named_modules() if "lora" in name]
    n_parameters = sum(p.numel() for p in model.network.parameters())
    assert (
        n_parameters < model.base.get_input_embeddings().weight.numel() * 1.1
    )  # embeddings and norms


def test_tree_and_replicated_decoder_agree(quantized):
    shim, ner = shim_of(quantized), quantized.get_pipe("padellm_ner")
    runner, builder = shim.runner(), shim.builder(ner.prompt)
    tree, rows = (
        decoder(runner, builder, TEXTS, ner.labels)
        for decoder in (make_tree_decoder(), make_replicated_decoder())
    )
    assert counts_and_mentions(tree) == counts_and_mentions(rows)


def test_single_documents_and_batches_agree(quantized):
    assert [found(quantized, [text])[0] for text in TEXTS] == found(quantized)


@pytest.mark.parametrize("used", [False, True], ids=["unused", "used"])
@pytest.mark.parametrize("way", ["disk", "bytes", "deepcopy"])
def test_state_is_the_float_adapter(taught_folder, taught, tmp_path, used, way):
    nlp = spacy.load(taught_folder, config=INT8)
    if used:
        found(nlp)
    shim = shim_of(nlp)
    exact = shim_of(taught).settings
    other = CausalLMShim(exact)
    if way == "disk":
        nlp.to_disk(tmp_path / "copy")
        other.from_disk(tmp_path / "copy" / "padellm_ner" / "model")
        again = spacy.load(tmp_path / "copy")
        assert shim_of(again).settings.quantize == "int8"
        assert found(again) == found(taught)
        for name in ("adapter_model.safetensors", "base.json"):
            part = f"padellm_ner/model/{name}"
            assert (tmp_path / "copy" / part).read_bytes() == (taught_folder / part).read_bytes()
    elif way == "bytes":
        other.from_bytes(shim.to_bytes())
    else:
        kept = copy.deepcopy(shim)
        assert kept.settings.quantize == "int8"
        other.from_bytes(kept.to_bytes())
    expected = {n: p for n, p in shim_of(taught).load().network.named_parameters() if "lora" in n}
    state = dict(other.load().network.named_parameters())
    assert expected
    for name, value in expected.items():
        assert torch.equal(value, state[name])


@pytest.mark.parametrize("used", [False, True], ids=["unused", "used"])
def test_whole_save_is_float(taught_folder, taught, tmp_path, used):
    whole = {"components.padellm_ner.model.save": "whole"}
    nlp = spacy.load(taught_folder, config={**INT8, **whole})
    if used:
        found(nlp)
    nlp.to_disk(tmp_path / "whole")
    assert list((tmp_path / "whole" / "padellm_ner" / "model").glob("model*.safetensors"))
    float_again = spacy.load(
        tmp_path / "whole", config={"components.padellm_ner.model.quantize": None}
    )
    assert layers(shim_of(float_again).load(), torch.nn.Linear)
    assert found(float_again) == found(taught)
    again = spacy.load(tmp_path / "whole")
    assert found(again) == found(taught)
    again.to_disk(tmp_path / "copy")
    assert found(spacy.load(tmp_path / "copy")) == found(taught)


@pytest.mark.parametrize("adapter", [None, LORA], ids=["bare", "new adapter"])
def test_untrained(tiny_base, tmp_path, adapter):
    model = {"@architectures": "spacy-padellm.CausalLM.v1", "name": str(tiny_base)}
    model |= {"adapter": adapter, "device": "cpu", "quantize": "int8"}
    nlp = spacy.blank("en")
    decoder = {"@misc": "spacy-padellm.tree_decoder.v1", "max_count": 2, "max_mention_tokens": 4}
    config = {"labels": ["person"], "model": model, "decoder": decoder}
    nlp.add_pipe("padellm_ner", config=config)
    found(nlp)
    nlp.to_disk(tmp_path / "saved")
    base = srsly.read_json(tmp_path / "saved" / "padellm_ner" / "model" / "base.json")
    assert base["sha256"]
    assert found(spacy.load(tmp_path / "saved")) == found(nlp)


def test_training_is_refused(taught_folder):
    nlp = spacy.load(taught_folder, config=INT8)
    with pytest.raises(ValueError, match="can't be trained.*quantize = null"):
        nlp.update(gold_examples(nlp), sgd=nlp.create_optimizer())
    assert nlp.evaluate(gold_examples(nlp))["ents_f"]


def test_loaded_model_stays_on_the_cpu(quantized):
    shim_of(quantized).load()
    with pytest.raises(ValueError, match='quantize = "int8" is for a CPU'):
        shim_of(quantized).to_device("gpu", 0)
