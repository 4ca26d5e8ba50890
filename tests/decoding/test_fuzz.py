"""Whatever a model says, and whatever the text is, what comes out is well-formed and bounded.

The environment variable SPACY_PADELLM_FUZZ, a number, multiplies the examples.
"""

import math
import os

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from support.hostile import ANY_TEXT, MANNERS, RandomModel, is_probability

from spacy_padellm.decoding import tree_decoder as tree
from spacy_padellm.decoding.augmented import make_autoregressive_aug_decoder
from spacy_padellm.decoding.replicated import make_replicated_decoder
from spacy_padellm.decoding.struct import make_autoregressive_struct_decoder
from spacy_padellm.decoding.tree_decoder import make_tree_decoder
from spacy_padellm.documents.alignment import align
from spacy_padellm.documents.occurrences import token_bounds
from spacy_padellm.engine.runner import Runner
from spacy_padellm.pipeline.annotations import annotate
from spacy_padellm.pipeline.deduplicate import make_deduplicate_by_span, make_deduplicate_by_text
from spacy_padellm.prompts.prompt import make_prompt
from spacy_padellm.prompts.tree_builder import TreeBuilder
from spacy_padellm.tokenization.codec import one_line

NLP = spacy.blank("en")
WINDOW = 256
EXAMPLES = 25 * int(os.environ.get("SPACY_PADELLM_FUZZ", "1"))

LABELS = st.lists(
    st.sampled_from(["person", "place", "a\nb", "<num>", "</person>x", "北京", "x" * 40, "p:q"]),
    min_size=1,
    max_size=4,
    unique=True,
)
NAMES = st.lists(st.sampled_from(["person", "place", "北京", "a b"]), min_size=1, unique=True)
OPTIONS = st.fixed_dictionaries(
    {
        "max_count": st.sampled_from([1, 3, 12]),
        "max_mention_tokens": st.sampled_from([1, 5, 20]),
        "batch_tokens": st.sampled_from([1, 200, 100_000]),
        "count_slack": st.sampled_from([None, 0.01, 0.9]),
        "tag_weight": st.sampled_from([0.0, 0.5, 1.0]),
        "joint_starts": st.booleans(),
        "constrained": st.booleans(),
        "drafts": st.sampled_from([None, 0, 1, 8]),
        "graphs": st.booleans(),
    }
)
MODELS = st.tuples(st.sampled_from(MANNERS), st.integers(0, 1 << 20))
# Each byte is a token here: texts that fit the window beside the words of prompts.
TEXTS = st.lists(ANY_TEXT.filter(lambda text: len(text.encode()) < 90), min_size=1, max_size=4)


def check_counts(prediction, labels, most):
    assert [count.label for count in prediction.counts] == list(labels)
    for count in prediction.counts:
        said = [m.index for m in prediction.mentions if m.label == count.label]
        assert count.number >= 0
        assert count.bounded or count.number <= most
        assert sorted(said) == list(range(1, len(said) + 1))
        assert len(said) <= min(count.number, most)


def check_mentions(prediction, doc, options, constrained):
    text = one_line(doc.text)
    bounds = token_bounds(doc)
    starts, ends = set(bounds[:, 0].tolist()), set(bounds[:, 1].tolist())
    for mention in prediction.mentions:
        assert len(mention.logprobs) <= options["max_mention_tokens"]
        assert all(math.isfinite(p) and p < 1e-3 for p in mention.logprobs)
        if constrained and mention.ended:
            assert mention.char_spans, mention
            for start, end in mention.char_spans:
                assert text[start:end] == mention.text != ""
                assert start in starts
                assert end in ends


def check_annotation(prediction, doc, rule):
    alignment = align(doc, prediction.mentions)
    assert len(alignment.spans) + len(alignment.unaligned) == len(prediction.mentions)
    for span in alignment.spans:
        assert 0 <= span.start < span.end <= len(doc)
        assert doc[span.start].idx <= span.start_char < span.end_char <= len(doc.text)
        assert is_probability(span.score)
        assert span.text_score is None or is_probability(span.text_score)
    annotate(doc, alignment.spans, rule, "spans", 0.0)
    scores = doc.spans["spans"].attrs["scores"].tolist()
    assert len(scores) == len(doc.spans["spans"]) == len(alignment.spans)
    assert all(map(is_probability, scores))
    tokens = [token.i for ent in doc.ents for token in ent]
    assert len(tokens) == len(set(tokens))


@pytest.mark.parametrize("supports_tree_mask", [True, False], ids=["tree", "one row a prompt"])
@pytest.mark.parametrize("make", [make_tree_decoder, make_replicated_decoder])
@settings(max_examples=EXAMPLES)
@given(TEXTS, LABELS, OPTIONS, MODELS, st.booleans())
def test_parallel_decoders(
    tiny_network, toy_codec, make, supports_tree_mask, texts, labels, options, said, tagged
):
    model = RandomModel(toy_codec, tiny_network("llama"), *said, supports_tree_mask)
    builder = TreeBuilder(toy_codec, make_prompt("en", tag_text=tagged), model.max_positions)
    docs = [NLP.make_doc(text) for text in texts]
    found = make(**options)(
        Runner(model), builder, texts, labels, [token_bounds(doc) for doc in docs]
    )
    for doc, prediction in zip(docs, found, strict=True):
        check_counts(prediction, labels, options["max_count"])
        check_mentions(prediction, doc, options, options["constrained"])
        check_annotation(prediction, doc, make_deduplicate_by_span())
    # One pass a token at most, and a few for the prompts and the digits of numbers; a pass of a new
    # shape is captured by one more.
    most = len(texts) * (options["max_mention_tokens"] + 8)
    assert model.passes <= (2 * most if options["graphs"] else most)


@pytest.mark.parametrize(
    "make", [make_autoregressive_struct_decoder, make_autoregressive_aug_decoder]
)
@settings(max_examples=EXAMPLES)
@given(TEXTS, NAMES, OPTIONS, MODELS)
def test_autoregressive_decoders(tiny_network, toy_codec, make, texts, labels, options, said):
    model = RandomModel(toy_codec, tiny_network("llama"), *said)
    builder = TreeBuilder(toy_codec, make_prompt("en"), model.max_positions)
    docs = [NLP.make_doc(text) for text in texts]
    found = make(**options)(Runner(model), builder, texts, labels)
    for doc, prediction in zip(docs, found, strict=True):
        check_counts(prediction, labels, options["max_count"])
        check_mentions(prediction, doc, options, constrained=False)
        check_annotation(prediction, doc, make_deduplicate_by_text())
    assert model.passes <= len(texts) * WINDOW


@pytest.mark.parametrize("most", [1, 7])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_mentions_that_begin_in_turns(tiny_model, toy_codec, monkeypatch, name, most):
    """Where too many would begin at once, what is said is the same."""
    model = tiny_model(name)
    builder = TreeBuilder(toy_codec, make_prompt("en", tag_text=True), model.max_positions)
    texts = ["the new man in a hat", "a hat", "Bo in Oslo and Oslo", "the the"]
    bounds = [token_bounds(NLP.make_doc(text)) for text in texts]
    decode = make_tree_decoder(max_count=12, max_mention_tokens=6)
    expected = decode(Runner(model), builder, texts, ["a", "b", "c"], bounds)
    assert sum(len(one.mentions) for one in expected) > 12
    monkeypatch.setattr(tree, "MAX_NEW_MENTIONS_PER_ROW", most)
    found = decode(Runner(model), builder, texts, ["a", "b", "c"], bounds)
    for one, other in zip(found, expected, strict=True):
        assert [(c.label, c.number) for c in one.counts] == [
            (c.label, c.number) for c in other.counts
        ]
        said = [(m.label, m.index, m.text, m.ended) for m in one.mentions]
        assert said == [(m.label, m.index, m.text, m.ended) for m in other.mentions]


@pytest.mark.parametrize("constrained", [True, False])
def test_labels_of_as_many_mentions_as_there_may_be(tiny_network, toy_codec, constrained):
    """Counts of four digits, and mentions of which none ends by itself."""
    network = tiny_network("llama", max_position_embeddings=4096)
    model = RandomModel(toy_codec, network, "never ends", 3)
    builder = TreeBuilder(toy_codec, make_prompt("en"), model.max_positions)
    labels = [f"label {i}" for i in range(16)]
    text = "the new hat in Oslo " * 2
    decode = make_tree_decoder(max_count=64, max_mention_tokens=8, constrained=constrained)
    (found,) = decode(Runner(model), builder, [text], labels, [token_bounds(NLP.make_doc(text))])
    numbers = [count.number for count in found.counts]
    n_mentions = sum(min(number, 64) for number in numbers)
    assert len(found.mentions) == n_mentions > tree.MAX_NEW_MENTIONS_PER_ROW
    assert model.passes <= 64 + 8 + 8  # as if each label's mentions began in a turn of their own
    # Mentions that say more than the text could hold are stopped (`cap_total_length`).
    trunk = builder.question_trees([text], labels)[0].n_trunk
    for label in labels:
        said = [len(m.logprobs) for m in found.mentions if m.label == label]
        assert sum(said) <= 2 * trunk + len(said)
