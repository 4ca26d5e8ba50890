import pytest
from support.pipelines import LORA, WINDOW, blank_pipeline, ner_of

from spacy_padellm.corpus.model_spec import without_weights

pytest_plugins = ["support.pipeline_fixtures"]


@pytest.mark.parametrize("adapter", [LORA, {"r": 4, "target_modules": ["q_proj"]}, None])
def test_shape_is_that_of_the_loaded_network(tiny_base, adapter):
    network = ner_of(blank_pipeline(tiny_base, adapter)).shim.load().network
    sizes = {name: weights.numel() for name, weights in network.named_parameters()}
    n_adapter = sum(size for name, size in sizes.items() if "lora_" in name)
    shape = without_weights(ner_of(blank_pipeline(tiny_base, adapter))).shape
    assert shape.parameters == sum(sizes.values()) - n_adapter
    assert shape.trained == (n_adapter if adapter else shape.parameters)
    assert shape.lora == (adapter is not None)


def test_saved_pipeline(taught):
    ner = ner_of(taught)
    shape = without_weights(ner).shape
    assert shape.lora
    assert 0 < shape.trained < shape.parameters


def test_builder_is_the_components_own_without_a_bound(tiny_base):
    real = ner_of(blank_pipeline(tiny_base)).tree_builder()
    unloaded = without_weights(ner_of(blank_pipeline(tiny_base)))
    assert unloaded.window == real.max_positions == WINDOW
    text, labels = "Ada met Bo.", ["person"]
    ours = unloaded.builder.gold_trees([text], [{"person": ["Ada", "Bo"]}])[0]
    theirs = real.gold_trees([text], [{"person": ["Ada", "Bo"]}])[0]
    assert ours.ids.tolist() == theirs.ids.tolist()
    assert unloaded.builder.question_trees(["x" * 2 * WINDOW], labels)
    with pytest.raises(ValueError, match="positions"):
        real.question_trees(["x" * 2 * WINDOW], labels)


def test_no_weights_are_read(tiny_base, monkeypatch):
    from spacy_padellm.model import network

    monkeypatch.setattr(network, "load_network", lambda *_: pytest.fail("weights were loaded"))
    without_weights(ner_of(blank_pipeline(tiny_base)))
