import pytest
from spacy.tokens import Doc
from spacy.training import Example
from support.gold_trees import gold_trees
from support.pipelines import TEXTS, example, gold_examples, ner_of

from spacy_padellm.prompts.tree import COUNT, NO_TARGET
from spacy_padellm.training.annotated_labels import ANNOTATED_LABELS
from spacy_padellm.training.gold_of import gold_of

pytest_plugins = ["support.pipeline_fixtures"]

LABELS = ("person", "place")


@pytest.fixture
def builder(tiny):
    return ner_of(tiny).tree_builder()


def answers(tree, codec):
    """The answer in each branch, as text, by (label, mention path)."""
    answers_by_branch = {}
    for label, mention in tree.branches():
        own = (tree.label == label) & (tree.mention == mention)
        targets = tree.target[own]
        answers_by_branch[tree.labels[label - 1], mention] = codec.tokenizer.decode(
            targets[targets != NO_TARGET]
        )
    return answers_by_branch


def test_counts_and_mentions_of_all_labels(tiny, builder):
    trees = gold_trees(gold_examples(tiny), LABELS, builder)
    assert [answers(tree, builder.codec) for tree in trees] == [
        {
            ("person", COUNT): "2\n",
            ("person", 1): "Ada Byron\n",
            ("person", 2): "Bo\n",
            ("place", COUNT): "0\n",
        },
        {("person", COUNT): "0\n", ("place", COUNT): "1\n", ("place", 1): "Rome\n"},
        {
            ("person", COUNT): "1\n",
            ("person", 1): "Bo\n",
            ("place", COUNT): "1\n",
            ("place", 1): "Oslo\n",
        },
        {("person", COUNT): "0\n", ("place", COUNT): "0\n"},
    ]


def test_targets_lie_on_answers_alone(tiny, builder):
    (tree,) = gold_trees([example(tiny, TEXTS[1], [(0, 4, "place")])], LABELS, builder)
    assert tree.n_targets == len("0\n" + "1\n" + "Rome\n")
    assert (tree.target[tree.label == 0] == NO_TARGET).all()
    prompt = builder.codec.tokenizer.decode(tree.ids[tree.path(2, 1)])
    assert prompt == "text:\nRome is far.\nentity type:\nplace\n\n<num>1\n<mention 1>Rome"


def test_labels_not_asked_for_are_left_out(tiny, builder):
    (tree,) = gold_trees([example(tiny, TEXTS[2], [(0, 2, "person")])], ["place"], builder)
    assert answers(tree, builder.codec) == {("place", COUNT): "0\n"}


def test_documents_answer_for_their_annotated_labels(tiny, builder):
    eg = example(tiny, TEXTS[2], [(0, 2, "person"), (9, 13, "place")])
    eg.reference.user_data[ANNOTATED_LABELS] = ["place"]
    (tree,) = gold_trees([eg], LABELS, builder)
    assert answers(tree, builder.codec) == {("place", COUNT): "1\n", ("place", 1): "Oslo\n"}
    eg.reference.user_data[ANNOTATED_LABELS] = ["time"]
    assert gold_trees([eg], LABELS, builder) == []


def test_examples_that_say_nothing_give_no_tree(tiny, builder):
    words = Doc(tiny.vocab, ["Bo", "slept"])
    blank = [Example(tiny.make_doc(text), tiny.make_doc(text)) for text in ("", " \n")]
    for eg in blank:
        eg.reference.set_ents([])
    assert gold_trees([Example(words, words.copy()), *blank], LABELS, builder) == []


def test_mentions_in_reading_order(tiny):
    gold = example(tiny, "Bo and Al and Bo", [(14, 16, "person"), (0, 2, "person")]).reference
    assert gold_of(gold, ["person"]).mentions == {"person": ["Bo", "Bo"]}


def test_line_breaks_of_a_mention_are_spaces(tiny, builder):
    eg = Example.from_dict(
        Doc(tiny.vocab, ["New", "\n", "York"], [False, False, False]),
        {"entities": ["B-place", "I-place", "L-place"]},
    )
    (tree,) = gold_trees([eg], LABELS, builder)
    assert answers(tree, builder.codec)["place", 1] == "New York\n"


def test_text_beyond_the_window(tiny, builder):
    text = "Bo slept. " * 40
    with pytest.raises(ValueError, match=r"needs \d+ positions .*has 256: 'Bo slept"):
        gold_trees([example(tiny, text, [])], LABELS, builder)
