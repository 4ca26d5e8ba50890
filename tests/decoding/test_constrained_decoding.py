"""Constrained decoding: mentions are strings of the text, with the model's own probabilities."""

import copy

import pytest
from support.constrained_texts import LABELS, NLP, WORDS
from support.plain_decoding import PLAIN
from tokenizers import normalizers

from spacy_padellm.decoding.replicated import make_replicated_decoder
from spacy_padellm.decoding.tree_decoder import make_tree_decoder
from spacy_padellm.documents.occurrences import token_bounds
from spacy_padellm.engine.language_model import LanguageModel
from spacy_padellm.engine.runner import Runner
from spacy_padellm.prompts.tree_builder import TreeBuilder
from spacy_padellm.tokenization.codec import Codec, one_line


@pytest.mark.filterwarnings("ignore:Base model 'mpt' does not support the tree mask")
@pytest.mark.parametrize("joint_starts", [True, False])
@pytest.mark.parametrize("name", ["llama", "mpt"])
def test_only_strings_of_the_text_whatever_the_batch(tiny_model, toy_builder, name, joint_starts):
    """A random model says nothing sensible: all that holds it is the constraint."""
    model = tiny_model(name)
    settings = {"max_count": 3, "max_mention_tokens": 9, "joint_starts": joint_starts}
    docs = [NLP(text) for text in WORDS]
    tokens = [token_bounds(doc) for doc in docs]
    tree = make_tree_decoder(**settings)(Runner(model), toy_builder, WORDS, LABELS, tokens)
    replicated = make_replicated_decoder(**settings)(
        Runner(model), toy_builder, WORDS, LABELS, tokens
    )
    alone = [
        make_tree_decoder(**settings)(Runner(model), toy_builder, [text], LABELS, [bounds])[0]
        for text, bounds in zip(WORDS, tokens, strict=True)
    ]
    assert any(one.mentions for one in tree)
    for doc, one, *others in zip(docs, tree, replicated, alone, strict=True):
        for other in others:
            assert [c.number for c in one.counts] == [c.number for c in other.counts]
            assert [(m.text, m.char_spans) for m in one.mentions] == [
                (m.text, m.char_spans) for m in other.mentions
            ]
        for mention in one.mentions:
            assert mention.ended
            assert len(mention.text_logprobs) == len(mention.logprobs) <= 9
            assert all(a >= b - 1e-6 for a, b in zip(mention.text_logprobs, mention.logprobs))
            for start, end in mention.char_spans:
                assert doc.char_span(start, end) is not None
                assert one_line(doc.text[start:end]) == mention.text


def test_probabilities_are_the_models_own(tiny_model, toy_builder):
    """Where the constrained mention is the unconstrained one, so are its log-probabilities."""
    model, text = tiny_model("llama"), WORDS[0]
    (free,) = make_tree_decoder(9, 1, **PLAIN)(Runner(model), toy_builder, [text], LABELS)
    (held,) = make_tree_decoder(9, 1, joint_starts=False)(
        Runner(model), toy_builder, [text], LABELS
    )
    assert [c.number for c in free.counts] == [c.number for c in held.counts]
    for one, other in zip(free.mentions, held.mentions, strict=True):
        assert other.logprob <= one.logprob + 1e-5


def test_a_tokenizer_that_reads_another_text(toy_tokenizer, english, tiny_network):
    """What it reads is what can be said; the place is then sought by the string."""
    tokenizer = copy.deepcopy(toy_tokenizer)
    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    codec = Codec(tokenizer)
    model = LanguageModel(tiny_network("llama"), codec)
    builder = TreeBuilder(codec, english)
    (found,) = make_tree_decoder(9, 9)(
        Runner(model), builder, ["The Hat In A Bin"], ["a", "new", "the"]
    )
    assert any(mention.text for mention in found.mentions)
    for mention in found.mentions:
        assert mention.char_spans is None
        assert mention.text in "the hat in a bin"


@pytest.mark.weights
def test_the_shipped_model_keeps_its_mentions_in_the_text(real_model, real_builder):
    """Mentions that were strings of the text stay as they were, to the log-probability."""
    texts = [
        "Marie Curie and Pierre Curie worked in Paris for the Sorbonne.",
        "The Beatles played in Hamburg before Ringo Starr joined.",
        "El presidente de México, Claudia Sheinbaum, visitó Berlín.",
        "阿里巴巴的马云出生在杭州。",
    ]
    labels = ["person", "organisation", "location", "miscellaneous"]
    tokens = [token_bounds(NLP(text)) for text in texts]
    free = make_tree_decoder(**PLAIN)(Runner(real_model), real_builder, texts, labels, tokens)
    held = make_tree_decoder(joint_starts=False)(
        Runner(real_model), real_builder, texts, labels, tokens
    )
    same = 0
    for text, one, other in zip(texts, free, held, strict=True):
        doc = NLP(text)
        for mention, twin in zip(one.mentions, other.mentions, strict=True):
            assert all(doc.char_span(*place) is not None for place in twin.char_spans)
            start = text.find(mention.text)
            if start >= 0 and doc.char_span(start, start + len(mention.text)) is not None:
                assert twin.text == mention.text
                assert twin.logprobs == pytest.approx(mention.logprobs, abs=1e-3)
                same += 1
    assert same > 5
