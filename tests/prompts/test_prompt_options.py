"""Options of the prompts: attention in both directions, an echo of the text, tags."""

import numpy as np
import pytest
import torch

from spacy_padellm.decoding.replicated import ReplicatedDecoder
from spacy_padellm.decoding.tree_decoder import TreeDecoder
from spacy_padellm.engine.language_model import LanguageModel
from spacy_padellm.engine.runner import Runner
from spacy_padellm.prompts.prompt import make_prompt
from spacy_padellm.prompts.tree import NO_TARGET, TRUNK, visible
from spacy_padellm.prompts.tree_builder import TreeBuilder

TEXT = "the new man in a hat"
MENTIONS = {"a": ["new man", "hat"], "b": []}
SPANS = ((4, 11, "a"), (17, 20, "a"))
OPTIONS = [
    {"both_ways": True},
    {"echo": True},
    {"tag_text": True},
    {"both_ways": True, "echo": True, "tag_text": True},
]


def builder_of(codec, **options):
    return TreeBuilder(codec, make_prompt("en", None, **options))


def tree_of(codec, **options):
    (tree,) = builder_of(codec, **options).gold_trees([TEXT], [MENTIONS], [SPANS])
    return tree


def test_attention_in_both_directions(toy_codec):
    plain, tree = tree_of(toy_codec), tree_of(toy_codec, both_ways=True)
    assert (tree.ids == plain.ids).all()
    assert (tree.position == plain.position).all()
    start = len(toy_codec.encode("text:\n"))
    text = slice(start, start + len(toy_codec.encode(TEXT)))
    before, now = (visible(one.paths(0), one.paths(0)) for one in (plain, tree))
    assert now[text, text].all()
    before[text, text] = True
    assert (now == before).all()


def test_echo_puts_the_text_twice(toy_codec):
    plain, tree = tree_of(toy_codec), tree_of(toy_codec, echo=True)
    trunk = tree.ids[tree.label == TRUNK].tolist()
    assert toy_codec.decode(trunk) == f"text:\n{TEXT}\ntext:\n{TEXT}\nentity type:\n"
    more = len(trunk) - (plain.label == TRUNK).sum()
    assert (tree.position[tree.label > 0] == plain.position[plain.label > 0] + more).all()


@pytest.mark.parametrize("echo", [False, True])
def test_tags_mark_where_mentions_begin(toy_codec, echo):
    tree = tree_of(toy_codec, tag_text=True, echo=echo)
    trunk = tree.label == TRUNK
    tagged = np.flatnonzero(trunk & (tree.target != NO_TARGET))
    assert toy_codec.tokenizer.decode(tree.ids[tagged]) == TEXT  # of an echo the second
    assert tagged[-1] == np.flatnonzero(trunk)[-1] - len(toy_codec.encode("\nentity type:\n"))
    tags = {toy_codec.encode("a")[0]: "B", toy_codec.encode("-")[0]: "I", toy_codec.end_id: "O"}
    text_tags = [tags[target] for target in tree.target[tagged]]
    assert text_tags == tags_by_hand(toy_codec)


def tags_by_hand(codec):
    """Token by token: the toy tokenizer's tokens are bytes and a few merges, one string each."""
    tags, at, begun = [], 0, set()
    for token in codec.encode(TEXT):
        piece = codec.tokenizer.decode([token])
        first, at = at + len(piece) - len(piece.lstrip()), at + len(piece)
        held = [span for span in SPANS if span[0] < at and first < span[1]]
        new = [span for span in held if span not in begun]
        begun.update(new)
        tags.append("B" if new else "I" if held else "O")
    return tags


def test_without_all_labels_no_tags(toy_codec):
    builder = builder_of(toy_codec, tag_text=True)
    (tree,) = builder.gold_trees([TEXT], [MENTIONS], [None])
    assert (tree.target[tree.label == TRUNK] == NO_TARGET).all()


def test_question_trees_have_no_tags(toy_codec):
    (tree,) = builder_of(toy_codec, tag_text=True).question_trees([TEXT], ["a"])
    assert (tree.target == NO_TARGET).all()


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: " ".join(options))
@pytest.mark.parametrize("name", ["llama", "mistral", "gemma2"])
def test_trees_are_their_separate_prompts(tiny_network, toy_codec, name, options):
    """Loss of a tree and of its prompts one by one, and both decoders."""
    model = LanguageModel(tiny_network(name), toy_codec)
    builder = builder_of(toy_codec, **options)
    trees = builder.gold_trees([TEXT, "a hat"], [MENTIONS, {"a": [], "b": ["hat"]}], [SPANS, None])
    with torch.no_grad():
        together = model.nll(trees)
        prompts = [prompt for tree in trees for prompt in tree.prompts()]
        alone = torch.cat([model.nll([one]) for one in prompts if one.n_targets])
    assert together.tolist() == pytest.approx(alone.tolist(), abs=1e-4)

    texts = [TEXT, "a hat", "in"]
    tree, replicated = (
        decoder(max_count=3, max_mention_tokens=4)(Runner(model), builder, texts, ["a", "b"])
        for decoder in (TreeDecoder, ReplicatedDecoder)
    )
    assert [mention.text for prediction in tree for mention in prediction.mentions]
    for one, other in zip(tree, replicated, strict=True):
        assert [(c.number, m.text) for c in one.counts for m in one.mentions] == [
            (c.number, m.text) for c in other.counts for m in other.mentions
        ]
        for mention, twin in zip(one.mentions, other.mentions, strict=True):
            assert mention.logprobs == pytest.approx(twin.logprobs, abs=1e-3)


def test_both_ways_needs_path_masks(tiny_network, toy_codec):
    model = LanguageModel(tiny_network("mpt"), toy_codec, supports_tree_mask=False)
    builder = builder_of(toy_codec, both_ways=True)
    with pytest.raises(ValueError, match=r"both_ways.*mpt"):
        TreeDecoder()(Runner(model), builder, [TEXT], ["a"])
    with pytest.raises(ValueError, match=r"both_ways.*mpt"):
        model.nll(builder.gold_trees([TEXT], [MENTIONS]))
