"""An untrained model generates dozens of endless mentions: the text's length bounds them."""

import numpy as np
import pytest
from support.plain_decoding import PLAIN

from spacy_padellm.decoding.mentions import MentionBranches
from spacy_padellm.decoding.params import ResolvedParams
from spacy_padellm.decoding.replicated import ReplicatedDecoder
from spacy_padellm.decoding.tree_decoder import TreeDecoder
from spacy_padellm.engine.language_model import LanguageModel
from spacy_padellm.engine.runner import Runner
from spacy_padellm.prompts.tree import TRUNK
from spacy_padellm.prompts.tree_builder import TreeBuilder

TEXTS = ["the new man in a hat", "nun", "a hat in the inn " * 3]


def open_mentions(*paths):
    """Mentions with given paths, and a function that appends a token or an end to some."""
    mentions = MentionBranches(ResolvedParams(99, 500), [7])
    tree, label, index = np.array(paths).T
    zeros = np.zeros(len(paths), dtype=np.int64)
    mentions.add(tree, label, index, zeros, zeros)

    def append(which, token=1):
        which = np.array(which)
        mentions.append(which, np.full(len(which), token), np.zeros(len(which)))

    return mentions, append


def test_only_the_label_that_is_too_long_is_stopped(toy_builder):
    trees = toy_builder.question_trees(["the hat", "the hat"], ["a", "b"])
    trunk = int((trees[0].label == TRUNK).sum())
    mentions, append = open_mentions((0, 1, 1), (0, 1, 2), (0, 2, 1), (1, 1, 1))
    for _ in range(trunk):
        append([0, 1, 3])
    append([2])
    mentions.cap_total_length(trees)
    assert mentions.is_open.all()  # as much as twice the trunk is no more
    append([0])
    mentions.cap_total_length(trees)
    assert mentions.is_open.tolist() == [False, True, True, True]
    append([1])
    mentions.cap_total_length(trees)
    assert mentions.is_open.tolist() == [False, False, True, True]
    assert not mentions.ended.any()


def test_who_is_ahead_by_drafts_is_stopped_where_all_in_step_would_be(toy_builder):
    trees = toy_builder.question_trees(["the hat"], ["a"])
    bound = 2 * int((trees[0].label == TRUNK).sum())
    mentions, append = open_mentions((0, 1, 1), (0, 1, 2), (0, 1, 3))
    append([2])
    append([2], token=7)  # short, and long ended
    for _ in range(bound):
        append([0])
    append([0], token=7)
    mentions.cap_total_length(trees)
    assert mentions.is_open.tolist() == [False, True, False]
    step = (bound - 1) // 2 + 1
    while mentions.is_open[1]:
        append([1])
        mentions.cap_total_length(trees)
    assert mentions.n_tokens.tolist() == [step, step, 1]
    assert mentions.ended.tolist() == [False, False, True]


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_random_models_stop_and_both_decoders_agree(tiny_network, toy_codec, toy_builder, name):
    model = LanguageModel(tiny_network(name), toy_codec)
    builder = TreeBuilder(toy_codec, toy_builder._prompt)
    tree, replicated = (
        decoder(max_count=30, max_mention_tokens=500, **PLAIN)(
            Runner(model), builder, TEXTS, ["a", "b"]
        )
        for decoder in (TreeDecoder, ReplicatedDecoder)
    )
    for text, one, other in zip(TEXTS, tree, replicated):
        said = [(m.label, m.text, m.ended) for m in one.mentions]
        assert said == [(m.label, m.text, m.ended) for m in other.mentions]
        trunk = len(toy_codec.encode(f"text:\n{text}\nentity type:\n"))
        for label in ("a", "b"):
            lengths = [len(m.logprobs) for m in one.mentions if m.label == label]
            assert sum(lengths) <= 2 * trunk + len(lengths)
    assert any(not m.ended for one in tree for m in one.mentions)
