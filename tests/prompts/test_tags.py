"""Tags of a text's tokens: their token ids, and the tags of gold mentions."""

import pytest

from spacy_padellm.prompts.prompt import make_prompt
from spacy_padellm.prompts.tags import tag_token_ids, tags_of_text
from spacy_padellm.prompts.tree_builder import TreeBuilder

TEXT = "the new man in a hat"


def test_each_label_has_a_token_of_its_own(toy_codec):
    labels = ("man", "man, new", "hat")
    token_ids = tag_token_ids(toy_codec, toy_codec.encode_texts(labels))
    assert len(token_ids) == len(set(token_ids)) == 2 + len(labels)
    assert token_ids[:2] == [toy_codec.end_id, toy_codec.encode("-")[-1]]
    assert all(
        token_id in toy_codec.encode(label)
        for token_id, label in zip(token_ids[2:], labels, strict=True)
    )


def test_labels_of_equal_words(toy_codec):
    token_ids = tag_token_ids(toy_codec, [toy_codec.encode("a")] * 20)
    assert len(set(token_ids)) == 22
    assert token_ids[2] == toy_codec.encode("a")[0]
    assert set(token_ids[3:13]) == set(toy_codec.digit_ids)


def test_neighbouring_mentions_begin_apart(toy_codec):
    token_ids = tag_token_ids(toy_codec, toy_codec.encode_texts(["a", "b"]))
    outside, inside, a, b = token_ids
    spans = [(0, 3, "a"), (3, 6, "b")]
    text_tags = tags_of_text(toy_codec, "manhat a", spans, ("a", "b"), token_ids)
    assert [tag for tag in text_tags if tag in (a, b)] == [a, b]
    assert text_tags[0] == a
    assert text_tags[-1] == outside
    assert set(text_tags) <= {a, b, inside, outside}


@pytest.mark.parametrize("echo", [False, True])
def test_indices_of_the_text(toy_codec, echo):
    builder = TreeBuilder(toy_codec, make_prompt("en", None, echo=echo))
    (tree,) = builder.question_trees([TEXT], ["a"])
    indices = builder.text_indices(tree)
    assert tree.ids[indices].tolist() == toy_codec.encode(TEXT)
    last = [i for i in range(len(tree) - len(indices) + 1) if _same(tree, i, indices)][-1]
    assert indices[0] == last


def _same(tree, start, indices):
    return tree.ids[start : start + len(indices)].tolist() == tree.ids[indices].tolist()
