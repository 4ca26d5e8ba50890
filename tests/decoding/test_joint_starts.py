"""The first tokens of a label's mentions, chosen together."""

from itertools import combinations, pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.odd_codecs import metaspace_codec
from support.plain_decoding import PLAIN

from spacy_padellm.decoding.joint_starts import StartEdges
from spacy_padellm.decoding.lattice import ConstraintText
from spacy_padellm.decoding.logits import Logits
from spacy_padellm.decoding.mention_decoder import MentionDecoder
from spacy_padellm.decoding.params import ResolvedParams
from spacy_padellm.decoding.replicated import make_replicated_decoder
from spacy_padellm.decoding.tree_decoder import make_tree_decoder
from spacy_padellm.engine.runner import Runner
from spacy_padellm.prompts.tree_builder import TreeBuilder

TEXTS = ["the new man in a hat", "a hat", "nun in the inn\n", "the the the the", "é 北京 a", "x"]
LABELS = ["a", "new"]
PARAMS = ResolvedParams(99, 8, joint_starts=True, constrained=False)


@st.composite
def edges(draw):
    src = sorted(draw(st.lists(st.integers(0, 5), min_size=1, max_size=8)))
    n_mentions = draw(st.integers(1, 3))
    numbers = st.integers(-9, 0)
    rows = draw(
        st.lists(
            st.lists(numbers, min_size=len(src), max_size=len(src)),
            min_size=n_mentions,
            max_size=n_mentions,
        )
    )
    return np.array(rows, dtype=float), np.array(src)


@given(edges())
def test_the_best_of_all_rising_choices(case):
    logprobs, src = case
    chosen = StartEdges(src, *[np.arange(len(src))] * 2).viterbi(logprobs)
    sums = []
    for starts in combinations(sorted(set(src.tolist())), len(logprobs)):
        options = [np.flatnonzero(src == start) for start in starts]
        for way in product(*options):
            sums.append(sum(logprobs[row, edge] for row, edge in enumerate(way)))
    if not sums:
        assert chosen is None
        return
    offsets = [src[edge] for edge in chosen]
    assert all(one < other for one, other in pairwise(offsets))
    assert sum(logprobs[row, edge] for row, edge in enumerate(chosen)) == max(sums)


def test_the_first_of_equal_choices():
    same = np.zeros((2, 4))
    starts = StartEdges(np.array([0, 3, 3, 7]), np.arange(4), np.arange(4))
    assert starts.viterbi(same).tolist() == [0, 1]


@given(edges())
def test_alternatives_are_those_of_all_rising_choices_of_these_tokens(case):
    logprobs, src = case
    token = np.arange(len(src)) % 2
    starts = StartEdges(src, token, np.arange(min(2, len(src))))
    chosen = starts.viterbi(logprobs)
    if chosen is None:
        return
    found = starts.alternatives(chosen)
    ways = [
        way
        for way in product(range(len(src)), repeat=len(chosen))
        if all(src[a] < src[b] for a, b in pairwise(way))
        and all(token[a] == token[b] for a, b in zip(way, chosen, strict=True))
    ]
    for number, edges_ in enumerate(found):
        assert edges_.tolist() == sorted({way[number] for way in ways})


def first_tokens(builder, text, heads, wishes):
    """The first tokens of mentions whose likeliest tokens are given."""
    (tree,) = builder.question_trees([text], LABELS)
    logits = torch.zeros(heads, 512)
    for row, wish in enumerate(wishes):
        for token, value in wish.items():
            logits[row, builder.codec.encode(token)[0]] = value
    decoder = MentionDecoder([tree], [ConstraintText(text)], builder, PARAMS, logits.device)
    begin(decoder, logits)
    mentions = decoder.mentions
    return [
        builder.codec.tokenizer.decode(ids[:n]) for ids, n in zip(mentions.ids, mentions.n_tokens)
    ], mentions


def begin(decoder, logits):
    n = len(logits)
    zeros = np.zeros(n, dtype=np.int64)
    index, position = np.arange(1, n + 1), zeros + 9
    rows, drafts = np.arange(n)[:, None], np.zeros((n, 0), dtype=np.int64)
    decoder.begin(zeros, zeros + 1, index, position, zeros, Logits(logits), rows, drafts)


def test_no_occurrence_is_chosen_twice(toy_builder):
    wishes = [{"m": 9.0, "n": 5.0}, {"m": 9.0, "h": 5.0}]
    assert first_tokens(toy_builder, "new man", 2, wishes)[0] == ["n", "m"]
    assert first_tokens(toy_builder, "man hat", 2, wishes)[0] == ["m", "h"]
    assert first_tokens(toy_builder, "man man", 2, wishes)[0] == ["m", "m"]


def test_only_what_the_text_holds(toy_builder):
    tokens, mentions = first_tokens(toy_builder, "new man", 1, [{"h": 20.0, "m": 9.0}])
    assert tokens == ["m"]
    assert mentions.logprobs[0, 0] < -10  # the model's own
    assert mentions.is_open.all()


def test_more_mentions_than_starts(toy_builder):
    assert first_tokens(toy_builder, "x", 2, [{"h": 9.0}, {"m": 9.0}])[0] == ["h", "m"]


@pytest.mark.filterwarnings("ignore:Base model 'mpt' does not support the tree mask")
@pytest.mark.parametrize("name", ["llama", "mpt"])
def test_both_decoders_and_all_batches_agree(tiny_model, toy_builder, name):
    model = tiny_model(name)
    settings = {"max_count": 3, "max_mention_tokens": 4, "constrained": False}
    tree = make_tree_decoder(**settings)(Runner(model), toy_builder, TEXTS, LABELS)
    replicated = make_replicated_decoder(**settings)(Runner(model), toy_builder, TEXTS, LABELS)
    alone = [
        make_tree_decoder(**settings)(Runner(model), toy_builder, [t], LABELS)[0] for t in TEXTS
    ]
    plain = make_tree_decoder(3, 4, **PLAIN)(Runner(model), toy_builder, TEXTS, LABELS)
    for one, *others in zip(tree, replicated, alone, strict=True):
        for other in others:
            assert [c.number for c in one.counts] == [c.number for c in other.counts]
            assert [m.text for m in one.mentions] == [m.text for m in other.mentions]
    assert [p.counts for p in tree] == [p.counts for p in plain]
    assert [p.mentions for p in tree] != [p.mentions for p in plain]


@pytest.mark.weights
def test_names_of_a_list_do_not_collide(real_model, real_builder):
    text = "They play Roskilde , Rock am Ring , Pinkpop , Give It A Name Festival and Download ."
    labels = ["person", "organisation", "location", "miscellaneous"]
    for decoder in (make_tree_decoder(), make_tree_decoder(joint_starts=False)):
        (found,) = decoder(Runner(real_model), real_builder, [text], labels)
        for label in labels:
            mentions = [m.text for m in found.mentions if m.label == label]
            offsets = [text.find(m[:3]) for m in mentions]
            are_rising = all(0 <= one < other for one, other in pairwise(offsets))
            assert are_rising or not decoder.joint_starts


def test_tokens_that_are_no_bytes(english):
    """Such a tokenizer's mentions are said as if each were alone, with a warning."""
    builder = TreeBuilder(metaspace_codec(eos_token="</s>"), english)
    (tree,) = builder.question_trees(["a b"], ["a"])
    logits = torch.eye(2, len(builder.codec.tokenizer))
    with pytest.warns(UserWarning, match="can't be read as bytes"):
        decoder = MentionDecoder([tree], [ConstraintText("a b")], builder, PARAMS, logits.device)
    begin(decoder, logits)
    assert (decoder.mentions.ended | (decoder.mentions.n_tokens > 0)).all()
