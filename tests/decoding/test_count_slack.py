"""Hedged counts: the largest number whose P(count >= number) is above the slack."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_padellm.decoding.counts import CountBranches, at_least, first_digits, number_chances
from spacy_padellm.decoding.logits import Logits
from spacy_padellm.decoding.params import ResolvedParams
from spacy_padellm.decoding.replicated import make_replicated_decoder
from spacy_padellm.decoding.tree_decoder import make_tree_decoder
from spacy_padellm.engine.language_model import LanguageModel
from spacy_padellm.engine.runner import Runner

TEXTS = ["the new man", "a hat", "nun in the inn", "", "the the the the"]


def number(weights, slack):
    logprobs = np.log(np.float32([weights]).clip(1e-9))
    no_tags = np.full((1, 10), np.nan, dtype=np.float32)
    params = ResolvedParams(99, 8, count_slack=slack)
    return int(first_digits(number_chances(logprobs, no_tags, params), params)[0])


@pytest.mark.parametrize(
    ("slack", "expected"), [(None, 0), (0.5, 1), (0.35, 1), (0.25, 2), (0.05, 3), (0.001, 3)]
)
def test_the_largest_number_above_the_slack(slack, expected):
    assert number([0.45, 0.25, 0.2, 0.1, *[0.0] * 6], slack) == expected


@given(
    weights=st.lists(st.floats(1e-6, 1), min_size=10, max_size=10),
    slack=st.floats(0.001, 0.999),
    more=st.floats(0.001, 0.999),
)
def test_more_slack_never_counts_more(weights, slack, more):
    low, high = sorted((slack, more))
    assert number(weights, low) >= number(weights, high)


def test_the_logprob_is_that_of_the_chosen_number(toy_codec, toy_builder):
    counts = CountBranches(toy_builder.question_trees(["a hat"], ["a"]))
    logits = torch.full((1, 512), -1e4)
    logits[0, list(toy_codec.digit_ids[:2])] = torch.tensor([0.6, 0.4]).log()
    counts.select(counts.open, Logits(logits), toy_codec, ResolvedParams(99, 8, count_slack=0.3))
    assert counts.number.tolist() == [1]
    assert counts.logprob.tolist() == pytest.approx([-0.916], abs=1e-3)


def test_how_likely_there_are_so_many(toy_codec, toy_builder):
    counts = CountBranches(toy_builder.question_trees(["a hat", "hats"], ["a"]))
    logits = torch.full((2, 512), -1e4)
    logits[:, list(toy_codec.digit_ids[:4])] = torch.tensor([0.1, 0.2, 0.3, 0.4]).log()
    counts.select(counts.open, Logits(logits), toy_codec, ResolvedParams(99, 8))
    which, index = counts.heads(counts.open, ResolvedParams(99, 8))
    chances = counts.log_at_least(which, index).tolist()
    assert index.tolist() == [1, 2, 3] * 2
    assert chances == pytest.approx(torch.tensor([0.9, 0.7, 0.4] * 2).log().tolist(), abs=1e-4)
    # After a second digit the number is as likely as what it begins with.
    counts.append(
        counts.open,
        torch.tensor([2, 2]).numpy(),
        torch.zeros(2).numpy(),
        ResolvedParams(99, 8),
    )
    assert counts.number.tolist() == [32, 32]
    last = counts.log_at_least(counts.open, counts.number)
    assert last.tolist() == pytest.approx([-0.916, -0.916], abs=1e-3)


@given(weights=st.lists(st.floats(0, 1), min_size=10, max_size=10))
def test_more_are_never_likelier(weights):
    given_chances = np.float32([weights]) + np.float32(1e-9)
    chances = at_least(given_chances / given_chances.sum())[0].tolist()
    assert chances[0] == 1
    assert all(0 < more <= fewer <= 1 for fewer, more in pairwise(chances))


@pytest.mark.parametrize("slack", [0.01, 0.3])
def test_both_decoders_hedge_alike(tiny_network, toy_codec, toy_builder, slack):
    model = LanguageModel(tiny_network("llama"), toy_codec)
    settings = {"max_count": 3, "max_mention_tokens": 4, "count_slack": slack}
    tree = make_tree_decoder(**settings)(Runner(model), toy_builder, TEXTS, ["a", "b"])
    replicated = make_replicated_decoder(**settings)(Runner(model), toy_builder, TEXTS, ["a", "b"])
    plain = make_tree_decoder(3, 4)(Runner(model), toy_builder, TEXTS, ["a", "b"])
    for one, other, most_likely in zip(tree, replicated, plain, strict=True):
        assert [c.number for c in one.counts] == [c.number for c in other.counts]
        assert [m.text for m in one.mentions] == [m.text for m in other.mentions]
        for mention, twin in zip(one.mentions, other.mentions, strict=True):
            assert mention.count_logprob == pytest.approx(twin.count_logprob, abs=1e-4)
        hedged = sum(count.number for count in one.counts)
        assert hedged >= sum(count.number for count in most_likely.counts)


@pytest.mark.parametrize("slack", [-0.1, 0.0, 1, 1.0, True, "much"])
def test_slack_out_of_range(slack):
    with pytest.raises(ValueError, match=r"count_slack must be null or a probability"):
        make_tree_decoder(count_slack=slack)
