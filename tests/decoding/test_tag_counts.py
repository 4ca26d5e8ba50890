"""Counts from the tags of a text."""

from itertools import product
from math import prod

import numpy as np
import pytest
import torch

from spacy_padellm.decoding.counts import CountBranches
from spacy_padellm.decoding.logits import Logits
from spacy_padellm.decoding.params import ResolvedParams
from spacy_padellm.decoding.replicated import make_replicated_decoder
from spacy_padellm.decoding.tag_counts import DIGITS, count_distribution
from spacy_padellm.decoding.tree_decoder import make_tree_decoder
from spacy_padellm.engine.language_model import LanguageModel
from spacy_padellm.engine.runner import Runner
from spacy_padellm.prompts.prompt import make_prompt
from spacy_padellm.prompts.tree_builder import TreeBuilder

TEXTS = ["the new man", "a hat", "nun in the inn", "the the the the"]
LABELS = ["a", "new"]


def by_hand(chances):
    """All ways of beginning or not, one by one."""
    numbers = [0.0] * (DIGITS + 1)
    for way in product((0, 1), repeat=len(chances)):
        chance = prod(p if begins else 1 - p for p, begins in zip(chances, way, strict=True))
        numbers[min(sum(way), DIGITS)] += chance
    return numbers


@pytest.mark.parametrize("chances", [[0.3], [0.9, 0.2, 0.5], [1.0, 0.0, 1.0, 0.4], [0.8] * 12])
def test_count_distribution_independent_tokens(chances):
    begins = np.float32(chances)[:, None]
    found = count_distribution([begins, np.full((20, 1), 0.1, dtype=np.float32)])[0]
    assert found[0].tolist() == pytest.approx(by_hand(chances), abs=1e-5)
    assert np.array_equal(found, count_distribution([begins])[0])


def test_count_distribution_a_text_without_tokens():
    assert count_distribution([np.zeros((0, 2), dtype=np.float32)]).tolist() == [
        [[1.0, *[0.0] * 10]] * 2
    ]


def counted(builder, weight, evidence):
    codec = builder.codec
    logits = torch.full((1, 512), -1e4)
    logits[0, list(codec.digit_ids[:3])] = torch.tensor([0.6, 0.3, 0.1]).log()
    counts = CountBranches(builder.question_trees(["a hat"], ["a"]))
    tags = np.float32([np.log(evidence)])
    params = ResolvedParams(99, 8, tag_weight=weight)
    counts.select(counts.open, Logits(logits), codec, params, tags)
    return counts


@pytest.mark.parametrize(("weight", "number"), [(0.0, 0), (0.2, 0), (0.5, 1), (1.0, 1)])
def test_the_weight_of_the_tags(toy_builder, weight, number):
    evidence = [0.1, 0.8, 0.1, *[1e-9] * 7]
    assert counted(toy_builder, weight, evidence).number.tolist() == [number]


def test_the_logprob_stays_the_models(toy_builder):
    counts = counted(toy_builder, 1.0, [0.1, 0.8, 0.1, *[1e-9] * 7])
    assert counts.logprob.tolist() == pytest.approx([-1.204], abs=1e-3)


@pytest.mark.parametrize("weight", [0.5, 1.0])
@pytest.mark.parametrize("name", ["llama", "mpt"])
@pytest.mark.filterwarnings("ignore:Base model 'mpt' does not support the tree mask")
def test_both_decoders_agree(tiny_model, toy_codec, name, weight):
    model = tiny_model(name)
    builder = TreeBuilder(toy_codec, make_prompt("en", None, tag_text=True))
    settings = {"max_count": 3, "max_mention_tokens": 4, "tag_weight": weight}
    tree = make_tree_decoder(**settings)(Runner(model), builder, TEXTS, LABELS)
    replicated = make_replicated_decoder(**settings)(Runner(model), builder, TEXTS, LABELS)
    alone = [
        make_tree_decoder(**settings)(Runner(model), builder, [text], LABELS)[0] for text in TEXTS
    ]
    for one, *others in zip(tree, replicated, alone, strict=True):
        for other in others:
            assert [c.number for c in one.counts] == [c.number for c in other.counts]
            assert [m.text for m in one.mentions] == [m.text for m in other.mentions]


def test_without_weight_the_tags_are_not_read(tiny_network, toy_codec):
    model = LanguageModel(tiny_network("llama"), toy_codec)
    settings = {"max_count": 3, "max_mention_tokens": 4}
    tagged, plain = (
        TreeBuilder(toy_codec, make_prompt("en", None, tag_text=tag)) for tag in (True, False)
    )
    zero = make_tree_decoder(**settings, tag_weight=0.0)(Runner(model), tagged, TEXTS, LABELS)
    assert zero == make_tree_decoder(**settings)(Runner(model), plain, TEXTS, LABELS)
    assert zero != make_tree_decoder(**settings, tag_weight=1.0)(
        Runner(model), tagged, TEXTS, LABELS
    )


def test_weight_out_of_range():
    with pytest.raises(ValueError, match="tag_weight must be from 0 to 1, not 2"):
        make_tree_decoder(tag_weight=2)
