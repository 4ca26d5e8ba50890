"""Tokens copied from the text, checked in the same pass: fewer passes, the same mentions."""

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from support.odd_codecs import llama2_codec
from support.plain_decoding import PLAIN
from support.scripted_model import ScriptedModel

from spacy_padellm.decoding.drafts import TextDrafts
from spacy_padellm.decoding.lattice import ConstraintText, build_lattices
from spacy_padellm.decoding.tree_decoder import make_tree_decoder
from spacy_padellm.documents.occurrences import token_bounds
from spacy_padellm.engine.runner import Runner
from spacy_padellm.prompts.prompt import make_prompt
from spacy_padellm.prompts.tree import ABSENT
from spacy_padellm.prompts.tree_builder import TreeBuilder
from spacy_padellm.tokenization.token_bytes import TokenBytes

NLP = spacy.blank("en")
LABELS = ["a", "new"]
TEXTS = [
    "the new man in a hat",
    "a hat, a hat",
    "nun in the inn\n",
    "é 北京 😀 a",
    "x",
    "the the the the",
    "a" * 40,
]
WORDS = st.lists(
    st.sampled_from(["the", "theatre", "a", "in", " ", " ", " ", "\n", "é", "北京", "😀", "-"]),
    min_size=1,
    max_size=12,
).map("".join)


def drafts_of(codec, texts):
    pieces = TokenBytes(codec)
    ids = [np.array(one) for one in codec.encode_texts(texts)]
    read = [pieces.text(one.tolist()) for one in ids]
    passages = [ConstraintText(text, token_bounds(NLP(text))) for text in texts]
    found = build_lattices(passages, read, pieces, 99)
    return TextDrafts(found, ids, pieces), found, pieces, ids


@given(texts=st.lists(WORDS.filter(str.strip), min_size=1, max_size=3))
@pytest.mark.parametrize("kind", ["bytes", "prefix"])
def test_a_draft_is_what_the_text_goes_on_with(toy_codec, kind, texts):
    codec = toy_codec if kind == "bytes" else llama2_codec()
    drafts, found, pieces, _ = drafts_of(codec, texts)
    for tree, (text, lattice) in enumerate(zip(texts, found)):
        raw = text.replace("\n", " ").encode()
        for node in range(len(raw) + 1):
            (draft,) = drafts.after(np.array([tree]), np.array([node]), 4)
            said = [token for token in draft.tolist() if token != ABSENT]
            assert draft.tolist() == said + [ABSENT] * (4 - len(said))
            assert raw[node:].startswith(pieces.text(said))
            leads_on = bool((lattice.src == node).any())
            assert bool(said) == leads_on
    nowhere = drafts.after(np.zeros(2, dtype=np.int64), np.array([-1, 10_000]), 3)
    assert (nowhere == ABSENT).all()


def test_a_draft_goes_along_the_texts_own_tokens(toy_codec):
    drafts, _, _, (ids,) = drafts_of(toy_codec, ["the theatre number"])
    (draft,) = drafts.after(np.array([0]), np.array([3]), 8)
    assert draft.tolist() == ids[1:9].tolist()


def test_an_opening_draft_begins_a_mention_in_each_token(toy_codec):
    drafts, _, pieces, (ids,) = drafts_of(toy_codec, ["the inn, a hat"])
    read = [pieces.text([token]) for token in ids.tolist()]
    found = drafts.starting_at(0, np.arange(len(ids)), 3)
    for token, draft in enumerate(found.tolist()):
        said = pieces.text([one for one in draft if one != ABSENT])
        word = read[token].lstrip()
        at = sum(map(len, read[:token]))
        starts = [s for s, _ in token_bounds(NLP("the inn, a hat")).tolist()]
        begins = any(at <= start < at + len(read[token]) for start in starts)
        assert bool(said) == begins
        if begins:
            assert said.startswith(word)


def same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert [(c.label, c.number) for c in one.counts] == [
            (c.label, c.number) for c in other.counts
        ]
        for mention, twin in zip(one.mentions, other.mentions, strict=True):
            assert (mention.label, mention.index, mention.text, mention.ended) == (
                twin.label,
                twin.index,
                twin.text,
                twin.ended,
            )
            assert mention.char_spans == twin.char_spans
            assert mention.logprobs == pytest.approx(twin.logprobs, abs=1e-3)
            assert mention.text_logprobs == pytest.approx(twin.text_logprobs, abs=1e-3)
    return True


@pytest.mark.parametrize("joint_starts", [True, False])
@pytest.mark.parametrize("tags", [True, False])
@pytest.mark.parametrize("name", ["llama", "mistral", "gemma2", "gpt2"])
def test_the_same_mentions_with_drafts(tiny_model, toy_codec, name, tags, joint_starts):
    model = tiny_model(name)
    builder = TreeBuilder(toy_codec, make_prompt("en", None, tag_text=tags), model.max_positions)
    bounds = [token_bounds(NLP(text)) for text in TEXTS]
    options = {"max_count": 3, "max_mention_tokens": 9, "joint_starts": joint_starts}
    expected = make_tree_decoder(**options, drafts=0)(Runner(model), builder, TEXTS, LABELS, bounds)
    assert sum(len(one.mentions) for one in expected) > 5
    for drafts in (None, 1, 3, 8):
        decoder = make_tree_decoder(**options, drafts=drafts)
        assert same(decoder(Runner(model), builder, TEXTS, LABELS, bounds), expected)
    alone = make_tree_decoder(**options, drafts=2, batch_tokens=1)
    assert same(alone(Runner(model), builder, TEXTS, LABELS, bounds), expected)


@settings(max_examples=40)
@given(texts=st.lists(WORDS, min_size=1, max_size=4), drafts=st.integers(1, 9))
def test_any_text_any_draft(tiny_model, toy_codec, texts, drafts):
    model = tiny_model("llama")
    builder = TreeBuilder(toy_codec, make_prompt("en", None, tag_text=True), model.max_positions)
    bounds = [token_bounds(NLP(text)) for text in texts]
    options = {"max_count": 2, "max_mention_tokens": 6}
    expected = make_tree_decoder(**options, drafts=0)(Runner(model), builder, texts, LABELS, bounds)
    found = make_tree_decoder(**options, drafts=drafts)(
        Runner(model), builder, texts, LABELS, bounds
    )
    assert same(found, expected)


@pytest.mark.parametrize(
    "mentions", [["the new man in a hat"], ["the new man", "a hat"], ["man"], []]
)
@pytest.mark.parametrize("drafts", [0, 99])
def test_passes(toy_codec, english, mentions, drafts):
    """The first with the count, the second with the heads; drafts add all the rest in one more.
    `ScriptedModel` checks that no token attends to a rejected draft token."""
    text = TEXTS[0]
    model = ScriptedModel(toy_codec, {text: {"a": (str(len(mentions)), mentions)}})
    builder = TreeBuilder(toy_codec, english)
    bounds = [token_bounds(NLP(text))]
    (found,) = make_tree_decoder(drafts=drafts)(Runner(model), builder, [text], ["a"], bounds)
    assert [mention.text for mention in found.mentions] == mentions
    n_tokens = max((len(toy_codec.encode(mention)) for mention in mentions), default=-1)
    assert model.passes == (min(3, 2 + n_tokens) if drafts else 2 + n_tokens)


def test_no_drafts_without_the_constraint(toy_codec, english):
    model = ScriptedModel(toy_codec, {TEXTS[0]: {"a": ("1", ["the new"])}})
    builder = TreeBuilder(toy_codec, english)
    decoder = make_tree_decoder(**PLAIN, drafts=9)
    (found,) = decoder(Runner(model), builder, TEXTS[:1], ["a"])
    assert found.mentions[0].text == "the new"
    assert model.passes > 3


@pytest.mark.parametrize("drafts", [-1, True, 1.5, "many"])
def test_drafts_out_of_range(drafts):
    with pytest.raises(ValueError, match="drafts must be null or an integer from 0"):
        make_tree_decoder(drafts=drafts)


@pytest.mark.weights
def test_the_shipped_model_finds_the_same_in_fewer_passes(real_model, real_builder):
    texts = [
        "Marie Curie and Pierre Curie worked in Paris for the University of Paris.",
        "The Rolling Stones played in New York City before Ringo Starr joined The Beatles.",
        "It rained all day.",
        "El presidente de México, Claudia Sheinbaum, visitó Berlín.",
        "阿里巴巴的马云出生在杭州。",
    ]
    labels = ["person", "organisation", "location", "miscellaneous"]
    bounds = [token_bounds(NLP(text)) for text in texts]
    passes = []
    forward = real_model.forward
    found = []
    try:
        for drafts in (0, 8):
            calls = []
            real_model.forward = lambda *args, c=calls: c.append(1) or forward(*args)
            decoder = make_tree_decoder(drafts=drafts)
            found.append(decoder(Runner(real_model), real_builder, texts, labels, bounds))
            passes.append(len(calls))
    finally:
        del real_model.forward
    assert same(found[1], found[0])
    assert passes[1] <= passes[0] / 1.5
