import pytest
from support.pipelines import LORA, TEXTS, WINDOW, blank_pipeline, ner_of, same_annotation

from spacy_padellm.corpus.model_spec import read_model_spec

pytest_plugins = ["support.pipeline_fixtures"]


@pytest.mark.parametrize("adapter", [LORA, {"r": 4, "target_modules": ["q_proj"]}, None])
def test_size_is_that_of_the_loaded_network(tiny_base, adapter):
    network = ner_of(blank_pipeline(tiny_base, adapter)).shim.load().network
    sizes = {name: weights.numel() for name, weights in network.named_parameters()}
    n_adapter = sum(size for name, size in sizes.items() if "lora_" in name)
    size = read_model_spec(ner_of(blank_pipeline(tiny_base, adapter))).size
    assert size.parameters == sum(sizes.values()) - n_adapter
    assert size.trained == (n_adapter if adapter else size.parameters)
    assert size.lora == (adapter is not None)


def test_saved_pipeline(taught):
    size = read_model_spec(ner_of(taught)).size
    assert size.lora
    assert 0 < size.trained < size.parameters


def test_builder_is_the_components_own_without_a_bound(tiny_base):
    component_builder = ner_of(blank_pipeline(tiny_base)).tree_builder()
    spec = read_model_spec(ner_of(blank_pipeline(tiny_base)))
    assert spec.max_positions == component_builder.max_positions == WINDOW
    text, labels = "Ada met Bo.", ["person"]
    tree = spec.builder.gold_trees([text], [{"person": ["Ada", "Bo"]}])[0]
    component_tree = component_builder.gold_trees([text], [{"person": ["Ada", "Bo"]}])[0]
    assert tree.ids.tolist() == component_tree.ids.tolist()
    assert spec.builder.question_trees(["x" * 2 * WINDOW], labels)
    with pytest.raises(ValueError, match="positions"):
        component_builder.question_trees(["x" * 2 * WINDOW], labels)


def test_no_weights_are_read(tiny_base, monkeypatch):
    from spacy_padellm.model import loading

    monkeypatch.setattr(loading, "load_network", lambda *_: pytest.fail("weights were loaded"))
    read_model_spec(ner_of(blank_pipeline(tiny_base)))


def test_the_component_stays_runnable(taught):
    docs = list(taught.pipe(TEXTS))
    read_model_spec(ner_of(taught))
    assert same_annotation(taught.pipe(TEXTS), docs, 1e-6)


def test_definitions_of_labels_are_those_of_the_component(tiny_base):
    ner = ner_of(blank_pipeline(tiny_base))
    ner.cfg["label_definitions"] = {"person": "a human being"}
    builder = read_model_spec(ner).builder
    assert builder.describe("person") == ner.tree_builder().describe("person") != "person"
