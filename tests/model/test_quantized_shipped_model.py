"""The shipped model in int8 against float32."""

import pytest
from support.pipelines import ROOT
from support.quantized import counts_and_mentions

from spacy_padellm.decoding.replicated import make_replicated_decoder
from spacy_padellm.decoding.tree_decoder import make_tree_decoder
from spacy_padellm.engine.runner import Runner
from spacy_padellm.model.settings import ModelSettings
from spacy_padellm.model.shim import CausalLMShim

TEN_TEXTS = [
    "Marie Curie left Warsaw for Paris.",
    "CERN lies on the border of France and Switzerland.",
    "The parliament in Oslo votes on Tuesday.",
    "Siemens and Bosch open a plant near Dresden.",
    "It rained all day and nobody came.",
    "Ada Lovelace wrote to Charles Babbage in London.",
    "The Danish team beat Portugal in Lisbon.",
    "Toyota sold more cars in India than Honda.",
    "Angela Merkel met Emmanuel Macron in Berlin.",
    "Nothing happened.",
]


@pytest.fixture(scope="module")
def int8_shim(real_model):
    return CausalLMShim(
        ModelSettings("smollm2-135m", str(ROOT / "assets/adapter"), "cpu", quantize="int8")
    )


@pytest.mark.weights
@pytest.mark.slow
def test_shipped_model(int8_shim, real_model, real_builder, shipped_prompt):
    labels = ["person", "organisation", "location", "miscellaneous"]
    runner, builder = int8_shim.runner(), int8_shim.builder(shipped_prompt)
    assert runner.model.supports_tree_mask
    tree = make_tree_decoder()
    exact = counts_and_mentions(tree(Runner(real_model), real_builder, TEN_TEXTS, labels))
    int8 = counts_and_mentions(tree(runner, builder, TEN_TEXTS, labels))
    assert sum(len(mentions) for _, mentions in exact) > 10
    assert sum(a == b for a, b in zip(int8, exact)) >= 8
    # Not all: the last digits of attention, which vary with the batch, may change a rounding.
    alone = [counts_and_mentions(tree(runner, builder, [text], labels))[0] for text in TEN_TEXTS]
    assert sum(a == b for a, b in zip(alone, int8)) >= 9
    rows = counts_and_mentions(make_replicated_decoder()(runner, builder, TEN_TEXTS[:4], labels))
    assert sum(a == b for a, b in zip(rows, int8)) >= 3
