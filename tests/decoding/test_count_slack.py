"""Hedged counts: the largest number whose P(count >= number) is above the slack."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_padellm.decoding.bounds import Bounds
from spacy_padellm.decoding.counts import CountBranches, first_digits
from spacy_padellm.decoding.logits import Logits
from spacy_padellm.decoding.replicated import make_replicated_decoder
from spacy_padellm.decoding.tree import make_tree_decoder
from spacy_padellm.model.language_model import LanguageModel

TEXTS = ["the new man", "a hat", "nun in the inn", "", "the the the the"]


def number(weights, slack):
    logprobs = torch.tensor([weights]).clamp_min(1e-9).log()
    no_tags = torch.full((1, 10), torch.nan)
    return int(first_digits(logprobs, no_tags, Bounds(99, 8, None, slack)))


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
def test_less_slack_never_says_more(weights, slack, more):
    low, high = sorted((slack, more))
    assert number(weights, low) >= number(weights, high)


def test_the_logprob_is_of_what_was_said(toy_codec, toy_builder):
    counts = CountBranches(toy_builder.ask(["a hat"], ["a"]))
    logits = torch.full((1, 512), -1e4)
    logits[0, list(toy_codec.digit_ids[:2])] = torch.tensor([0.6, 0.4]).log()
    counts.take(counts.open, Logits(logits), toy_codec, Bounds(99, 8, None, 0.3))
    assert counts.number.tolist() == [1]
    assert counts.logprob.tolist() == pytest.approx([-0.916], abs=1e-3)


@pytest.mark.parametrize("slack", [0.01, 0.3])
def test_both_decoders_hedge_alike(tiny_network, toy_codec, toy_builder, slack):
    model = LanguageModel(tiny_network("llama"), toy_codec)
    settings = {"max_count": 3, "max_mention_tokens": 4, "count_slack": slack}
    tree = make_tree_decoder(**settings)(model, toy_builder, TEXTS, ["a", "b"])
    replicated = make_replicated_decoder(**settings)(model, toy_builder, TEXTS, ["a", "b"])
    plain = make_tree_decoder(3, 4)(model, toy_builder, TEXTS, ["a", "b"])
    for one, other, likeliest in zip(tree, replicated, plain, strict=True):
        assert [c.number for c in one.counts] == [c.number for c in other.counts]
        assert [m.text for m in one.mentions] == [m.text for m in other.mentions]
        hedged = sum(count.number for count in one.counts)
        assert hedged >= sum(count.number for count in likeliest.counts)


@pytest.mark.parametrize("slack", [-0.1, 0.0, 1, 1.0, True, "much"])
def test_slack_out_of_range(slack):
    with pytest.raises(ValueError, match=r"count_slack must be null or a probability"):
        make_tree_decoder(count_slack=slack)
