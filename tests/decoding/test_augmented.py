from functools import partial

import pytest
from hypothesis import given
from support.answers import LABELS, builder_of, decode_answers, golds, through_tokens
from support.predictions import mention_fields

from spacy_padellm.decoding.augmented import AutoregressiveAugDecoder
from spacy_padellm.documents.gold import Gold
from spacy_padellm.tokenization.codec import one_line

QUESTION = "person\nplace\n\n<tags>\n"


@pytest.fixture(scope="module")
def form(toy_codec):
    return AutoregressiveAugDecoder().form(builder_of(toy_codec), LABELS)


@pytest.fixture
def decode(toy_codec):
    """Decode texts whose answers a script has."""
    return partial(decode_answers, AutoregressiveAugDecoder, toy_codec, QUESTION)


def expected_mentions(gold):
    mentions = [(label, one_line(gold.text[s:e]).strip()) for s, e, label in gold.spans]
    return [one for one in mentions if one[1]]


def by_label(mentions):
    return sorted(mentions, key=lambda one: one[0])


# --- what is written can be read ---


@given(golds(overlap=False))
def test_round_trip(form, toy_codec, gold):
    written = form.write(gold)
    answer = through_tokens(toy_codec, written)
    assert answer.index("\n") == len(answer) - 1
    reading = form.read(answer, gold.text)
    assert [(one.label, one.text) for one in reading.mentions] == expected_mentions(gold)
    assert written.n_lost == len(gold.spans) - len(expected_mentions(gold))
    assert reading.n_malformed == 0


@given(golds())
def test_round_trip_of_spans_that_nest_and_cross(form, toy_codec, gold):
    """Nothing is invented and what can't be written is counted; what nests can be."""
    written = form.write(gold)
    reading = form.read(through_tokens(toy_codec, written), gold.text)
    read = by_label((one.label, one.text) for one in reading.mentions)
    left = by_label(expected_mentions(gold))
    for mention in read:
        left.remove(mention)
    assert reading.n_malformed == 0
    assert written.n_lost == len(gold.spans) - len(read)
    spans = [span for span in gold.spans if gold.text[span[0] : span[1]].strip()]
    crossing = any(a[0] < b[0] < a[1] < b[1] for a in spans for b in spans)
    assert bool(left) == crossing


def test_the_text_in_tags(form):
    gold = Gold(
        "Bo of New\nYork left York.", LABELS, ((0, 2, "PER"), (6, 14, "LOC"), (10, 14, "PL"))
    )
    written = form.write(gold)
    answer = "".join(written.pieces)
    assert answer == (
        "<person>Bo</person> of <place name>New <place>York</place></place name> left York."
    )
    assert written.pieces[3:6] == (" of", " <place name>", "New")
    reading = form.read(answer + "\n", gold.text)
    assert [(one.label, one.text) for one in reading.mentions] == [
        ("PER", "Bo"),
        ("LOC", "New York"),
        ("PL", "York"),
    ]
    assert [[answer[s:e] for s, e in one.ranges] for one in reading.mentions] == [
        ["Bo"],
        ["New ", "York"],
        ["York"],
    ]


def test_tags_in_the_text_are_text(form):
    gold = Gold("<person>x</person> <\\person>", LABELS, ((8, 9, "PER"), (19, 28, "PL")))
    answer = "".join(form.write(gold).pieces)
    assert answer == ("<\\person><person>x</person></\\person> <place><\\\\person></place>")
    reading = form.read(answer + "\n", gold.text)
    assert [one.text for one in reading.mentions] == ["x", "<\\person>"]
    assert reading.n_malformed == 0


@pytest.mark.parametrize("name", ["a<b", "a>", "/a", "\\a"])
def test_names_that_can_not_be_tags(toy_codec, name):
    with pytest.raises(ValueError, match="can't be tags .*label_definitions"):
        AutoregressiveAugDecoder().form(builder_of(toy_codec, {"A": name}), ["A"])


def test_crossing_mentions_are_counted_in_the_log(toy_codec, caplog):
    gold = Gold("New York City Hall", LABELS, ((0, 13, "LOC"), (9, 18, "PL")))
    builder = builder_of(toy_codec)
    (tree,) = AutoregressiveAugDecoder().gold_trees(builder, [gold])
    assert "1 of 2 gold mentions can't be written" in caplog.text
    asked = toy_codec.tokenizer.decode(tree.target[tree.target >= 0])
    assert asked == "<place name>New York City</place name> Hall\n"


# --- what else a model may say ---

TEXT = "Bo is in Oslo."


@pytest.mark.parametrize(
    ("answer", "expected", "n_malformed"),
    [
        ("Bo is in Oslo.\n", [], 0),
        ("<person>Bo</person> is in <place>Oslo</place>.\n", ["Bo", "Oslo"], 0),
        ("<person> Bo </person>is in <place> Oslo</place>.\n", ["Bo", "Oslo"], 0),
        ("<person>Bo</person> is in <place>Rome</place>.\n", ["Bo", "Rome"], 1),
        ("<person>Bo</person> is\n", ["Bo"], 1),
        ("\n", [], 1),
        ("~", [], 1),
        ("<person>Bo is in <place>Oslo</place>.\n", ["Oslo"], 1),
        ("Bo</person> is in <place>Oslo</place>.\n", ["Oslo"], 1),
        ("<person>Bo</place> is in <place>Oslo</place>.\n", ["Oslo"], 2),
        ("<person>Bo <place>is</person> in Oslo</place>.\n", ["is in Oslo"], 2),
        ("<person></person>Bo is in <place>Oslo</place>.\n", ["Oslo"], 1),
        ("<person>Bo <person>is</person></person> in Oslo.\n", ["Bo is", "is"], 0),
        ("<human>Bo</human> is in <place>Oslo</place>.\n", ["Oslo"], 1),
        ("<person>Bo</person> is in <place>Oslo</place>.~", ["Bo", "Oslo"], 0),
    ],
)
def test_well_formed_tags_are_kept_and_faults_counted(decode, answer, expected, n_malformed):
    (prediction,) = decode({TEXT: answer})
    assert [one.text for one in prediction.mentions] == expected
    assert all(one.ended for one in prediction.mentions)
    assert prediction.malformed == n_malformed
    assert prediction.ended
    assert sum(count.number for count in prediction.counts) == len(expected)


def test_text_that_is_repeated_for_ever(decode):
    (prediction,) = decode({"Bo.": "<person>Bo.…"}, max_mention_tokens=4)
    ((label, index, text, ended),) = mention_fields(prediction)
    assert (label, index, text, ended) == ("person", 1, "Bo..", False)
    assert not prediction.ended
    assert prediction.malformed == 1  # the text goes on where it has ended


def test_tags_that_are_repeated_for_ever(decode):
    (prediction,) = decode({"Bo.": "<person>Bo</person>." + "<place>" * 99})
    assert [one for one in mention_fields(prediction) if one[3]] == [("person", 1, "Bo", True)]
    assert not prediction.ended


def test_more_mentions_than_the_bound(decode):
    text = "x x x x"
    answer = " ".join(["<person>x</person>"] * 4) + "\n"
    (prediction,) = decode({text: answer}, max_count=3)
    assert mention_fields(prediction) == [("person", k, "x", True) for k in (1, 2, 3)]
    assert [(one.number, one.bounded) for one in prediction.counts] == [(4, True), (0, False)]


def test_every_token_may_be_a_mention(decode):
    """The bound on an answer's length leaves room for it."""
    text = "a b c d e f"
    answer = " ".join(f"<person>{letter}</person>" for letter in text.split()) + "\n"
    (prediction,) = decode({text: answer})
    assert [one.text for one in prediction.mentions] == text.split()
    assert prediction.ended
    assert prediction.malformed == 0


def test_a_mention_that_is_too_long(decode):
    text = "abcdef in Oslo"
    answer = "<person>abcdef</person> in <place>Oslo</place>\n"
    (prediction,) = decode({text: answer}, max_mention_tokens=5)
    assert mention_fields(prediction) == [("person", 1, "abcde", False), ("place", 1, "Oslo", True)]
    assert [len(one.logprobs) for one in prediction.mentions] == [5, 4]
    assert prediction.ended


def test_the_end_of_the_window(decode):
    """The model is never asked past its positions, which the scripted model checks."""
    text = "Bo is in Oslo"
    answer = "<person>Bo</person> is in <place>Oslo</place>\n"
    (prediction,) = decode({text: answer}, max_positions=94)
    assert [one.ended for one in prediction.mentions] == [True, False]
    assert (prediction.ended, prediction.malformed) == (False, 0)
