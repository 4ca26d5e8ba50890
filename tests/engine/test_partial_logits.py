"""Partial logits: few tokens' logits equal those of the whole vocabulary."""

import pytest
import torch

from spacy_padellm.decoding.tree_decoder import make_tree_decoder
from spacy_padellm.engine import step_graphs
from spacy_padellm.engine.cached_rows import CachedRows
from spacy_padellm.engine.language_model import LanguageModel
from spacy_padellm.engine.runner import Runner
from spacy_padellm.prompts.prompt import make_prompt
from spacy_padellm.prompts.tree_builder import TreeBuilder

TEXTS = ["the new man in a hat", "a hat", "nun in the inn", "the the the the"]
LABELS = ["a", "new"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("llama", True),
        ("gpt2", True),
        ("qwen2", True),
        ("gptj", True),  # a bias
        ("gemma2", False),  # logits are capped
        ("cohere", False),  # and scaled
        ("granite", False),
    ],
)
def test_models_that_transform_logits_do_not_support_them(tiny_model, name, expected):
    options = {"cohere": {"logit_scale": 0.25}, "granite": {"logits_scaling": 4.0}}
    options["gemma2"] = {"final_logit_softcapping": 0.5}
    model = tiny_model(name, **options.get(name, {}))
    assert Runner(model).supports_partial_logits() is expected


def test_an_output_layer_that_is_replaced_does_not_support_them(tiny_network, toy_codec):
    model = LanguageModel(tiny_network("llama"), toy_codec)
    runner = Runner(model)
    assert runner.supports_partial_logits()
    head = model.network.get_output_embeddings()
    model.network.set_output_embeddings(torch.nn.Sequential(head))
    assert not runner.supports_partial_logits()


@pytest.fixture
def tag_builder(toy_codec):
    return TreeBuilder(toy_codec, make_prompt("en", None, tag_text=True))


def both(runner, builder, texts, labels, monkeypatch, graphs=False):
    """Predictions with partial logits and with whole rows, and the number of partial passes."""
    steps = []
    forward = CachedRows.forward
    monkeypatch.setattr(
        CachedRows, "forward", lambda rows, step: steps.append(step) or forward(rows, step)
    )
    decoder = make_tree_decoder(max_count=5, max_mention_tokens=6, graphs=graphs)
    for _ in range(3 if graphs else 1):  # plain at first, then captured, then replayed
        partial = decoder(runner, builder, texts, labels)
    assert (runner.fused_layers is not None) == runner.fuses
    n = sum(step.partial_indices is not None for step in steps)
    monkeypatch.setattr(Runner, "supports_partial_logits", lambda runner: False)
    return partial, decoder(runner, builder, texts, labels), n


def assert_same(ones, others, tolerance):
    for one, other in zip(ones, others, strict=True):
        assert [c.number for c in one.counts] == [c.number for c in other.counts]
        for a, b in zip(one.mentions, other.mentions, strict=True):
            assert (a.text, a.char_spans) == (b.text, b.char_spans)
            assert a.logprob == pytest.approx(b.logprob, abs=tolerance)
            assert a.count_logprob == pytest.approx(b.count_logprob, abs=tolerance)


@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize(
    ("name", "fuses"), [("llama", False), ("llama", True), ("gpt2", False), ("gptj", False)]
)
def test_tags_are_read_alike(
    tiny_network, toy_codec, device, name, fuses, graphs, monkeypatch, tag_builder
):
    if (name, device) == ("gpt2", "cuda"):
        pytest.skip("transformers' gpt2 takes no boolean mask on a GPU: its prompts get own rows")
    model = LanguageModel(tiny_network(name).to(device), toy_codec)
    runner = Runner(model, fuses)
    partial, whole, n = both(runner, tag_builder, TEXTS, LABELS, monkeypatch, graphs)
    assert n
    assert any(one.mentions for one in whole)
    assert_same(partial, whole, 1e-4)


@pytest.mark.parametrize("fuses", [False, True])
def test_replayed_passes_read_the_tags_of_what_they_are_given(
    tiny_network, toy_codec, device, fuses, tag_builder
):
    model = LanguageModel(tiny_network("llama").to(device), toy_codec)
    runner = Runner(model, fuses)
    plain = make_tree_decoder(max_count=5, max_mention_tokens=6, graphs=False)
    replayed = make_tree_decoder(max_count=5, max_mention_tokens=6, graphs=True)
    # Texts of the same shape, and shorter ones that leave more padding.
    for text in [*TEXTS[:2], *TEXTS[:2], "the old man in a hat", "a cat", "hat", "x"]:
        found = replayed(runner, tag_builder, [text], LABELS)
        assert_same(found, plain(runner, tag_builder, [text], LABELS), 1e-3)


def test_large_passes_too(tiny_network, toy_codec, monkeypatch, tag_builder):
    monkeypatch.setattr(step_graphs, "MAX_TOKENS", 8)
    model = LanguageModel(tiny_network("llama"), toy_codec)
    runner = Runner(model, fuse=False)
    partial, whole, n = both(runner, tag_builder, TEXTS, LABELS, monkeypatch, graphs=True)
    assert n == 3
    assert_same(partial, whole, 1e-4)


@pytest.mark.weights
def test_tags_of_the_shipped_model_are_read_alike(real_model, real_builder, monkeypatch):
    texts = [
        "Marie Curie and Pierre Curie worked in Paris for the Sorbonne.",
        "The Beatles played in Hamburg before Ringo Starr joined.",
        "Nothing to be seen here .",
    ]
    labels = ["person", "organisation", "location", "miscellaneous"]
    partial, whole, n = both(Runner(real_model), real_builder, texts, labels, monkeypatch)
    assert n
    assert sum(len(one.mentions) for one in whole) > 3
    assert_same(partial, whole, 1e-3)
