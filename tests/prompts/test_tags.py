"""Tags of a text's tokens: what they are said with, and what they are of gold mentions."""

import pytest

from spacy_padellm.prompts.prompt import make_prompt
from spacy_padellm.prompts.tags import Tags
from spacy_padellm.prompts.tree_builder import TreeBuilder

TEXT = "the new man in a hat"


def test_each_label_has_a_token_of_its_own(toy_codec):
    tags = Tags(toy_codec, lambda label: toy_codec.encode(label))
    labels = ("man", "man, new", "hat")
    symbols = tags.symbols(labels)
    assert len(symbols) == len(set(symbols)) == 2 + len(labels)
    assert symbols[:2] == [toy_codec.end_id, toy_codec.encode("-")[-1]]
    assert all(
        symbol in toy_codec.encode(label) for symbol, label in zip(symbols[2:], labels, strict=True)
    )


def test_labels_of_equal_words(toy_codec):
    tags = Tags(toy_codec, lambda label: toy_codec.encode("a"))
    labels = [str(i) for i in range(20)]
    symbols = tags.symbols(labels)
    assert len(set(symbols)) == 22
    assert symbols[2] == toy_codec.encode("a")[0]
    assert set(symbols[3:13]) == set(toy_codec.digit_ids)


def test_neighbouring_mentions_begin_apart(toy_codec):
    tags = Tags(toy_codec, lambda label: toy_codec.encode(label))
    outside, inside, a, b = tags.symbols(("a", "b"))
    said = tags.of("manhat a", [(0, 3, "a"), (3, 6, "b")], ("a", "b"))
    assert [tag for tag in said if tag in (a, b)] == [a, b]
    assert said[0] == a
    assert said[-1] == outside
    assert set(said) <= {a, b, inside, outside}


@pytest.mark.parametrize("echo", [False, True])
def test_places_of_the_text(toy_codec, echo):
    builder = TreeBuilder(toy_codec, make_prompt("en", None, echo=echo))
    (tree,) = builder.question_trees([TEXT], ["a"])
    places = builder.text_indices(tree)
    assert tree.ids[places].tolist() == toy_codec.encode(TEXT)
    last = [i for i in range(len(tree) - len(places) + 1) if _same(tree, i, places)][-1]
    assert places[0] == last


def _same(tree, start, places):
    return tree.ids[start : start + len(places)].tolist() == tree.ids[places].tolist()
