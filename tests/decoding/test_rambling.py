"""A model that has learnt nothing says dozens of endless mentions: a text's length bounds them."""

import pytest
from plain_decoding import PLAIN

from spacy_padellm.decoding.branch import MentionBranch, stop_rambling
from spacy_padellm.decoding.replicated import ReplicatedDecoder
from spacy_padellm.decoding.tree import TreeDecoder
from spacy_padellm.model.language_model import LanguageModel
from spacy_padellm.tree import TRUNK
from spacy_padellm.tree_builder import TreeBuilder

TEXTS = ["the new man in a hat", "nun", "a hat in the inn " * 3]


def test_only_the_label_that_said_too_much_is_stopped(toy_builder):
    trees = toy_builder.ask(["the hat", "the hat"], ["a", "b"])
    trunk = int((trees[0].label == TRUNK).sum())
    long = [MentionBranch(0, 1, k, 0, ids=[1] * trunk) for k in (1, 2)]
    others = [MentionBranch(0, 2, 1, 0, ids=[1]), MentionBranch(1, 1, 1, 0, ids=[1] * trunk)]
    stop_rambling([*long, *others], trees)
    assert all(branch.open for branch in [*long, *others])  # as much as twice the trunk is no more
    long[0].ids.append(1)
    stop_rambling([*long, *others], trees)
    assert not any(branch.open or branch.ended for branch in long)
    assert all(branch.open for branch in others)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_random_models_stop_and_both_decoders_agree(tiny_network, toy_codec, toy_builder, name):
    model = LanguageModel(tiny_network(name), toy_codec)
    builder = TreeBuilder(toy_codec, toy_builder._prompt)
    tree, replicated = (
        decoder(max_count=30, max_mention_tokens=500, **PLAIN)(model, builder, TEXTS, ["a", "b"])
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
