from functools import partial

import pytest
from hypothesis import given
from support.answers import LABELS, NAMES, builder_of, decode_answers, golds, through_tokens
from support.predictions import mention_fields

from spacy_padellm.decoding.struct import AutoregressiveStructDecoder
from spacy_padellm.documents.gold import Gold
from spacy_padellm.tokenization.codec import one_line

QUESTION = "person\nplace\n\n<list>\n"


@pytest.fixture(scope="module")
def form(toy_codec):
    return AutoregressiveStructDecoder().form(builder_of(toy_codec), LABELS)


@pytest.fixture
def decode(toy_codec):
    """Decode texts whose answers a script has."""
    return partial(decode_answers, AutoregressiveStructDecoder, toy_codec, QUESTION)


def numbers(prediction):
    return [(count.number, count.bounded) for count in prediction.counts]


# --- what is written can be read ---


@given(golds())
def test_round_trip(form, toy_codec, gold):
    written = form.write(gold)
    answer = through_tokens(toy_codec, written)
    assert form.has_ended(answer)
    reading = form.read(answer, gold.text)
    mentions = [(label, one_line(gold.text[s:e]).strip()) for s, e, label in gold.spans]
    assert [(one.label, one.text) for one in reading.mentions] == [
        one for one in mentions if one[1]
    ]
    assert written.n_lost == sum(not mention for _, mention in mentions)
    assert reading.n_malformed == 0
    assert all(one.ended for one in reading.mentions)
    for one in reading.mentions:
        ((start, end),) = one.ranges
        assert answer[start:end] == one.text


def test_an_answer_has_ended_at_its_last_token_alone(form, toy_codec):
    gold = Gold("Bo: Oslo", LABELS, ((0, 2, "PER"), (4, 8, "PL")))
    answer = through_tokens(toy_codec, form.write(gold))
    assert answer == "person: Bo\nplace: Oslo\n\n"
    assert [form.has_ended(answer[:i]) for i in range(1, len(answer) + 1)] == [False] * 23 + [True]


@pytest.mark.parametrize("other", ["person:", "person: of", "person :x"])
def test_names_that_a_list_can_not_tell_apart(toy_codec, other):
    builder = builder_of(toy_codec, {"A": "person", "B": other})
    with pytest.raises(ValueError, match=r"can't be distinguished from .*label_definitions"):
        AutoregressiveStructDecoder().form(builder, ["A", "B"])


def test_names_that_are_equal(toy_codec):
    builder = builder_of(toy_codec, {"A": "one\nline", "B": "one line"})
    with pytest.raises(ValueError, match=r"labels \['A'\] have the same words in the prompt"):
        AutoregressiveStructDecoder().form(builder, ["A", "B"])


def test_names_with_colons(toy_codec):
    builder = builder_of(toy_codec, {"A": "time: of day", "B": "time"})
    with pytest.raises(ValueError, match="can't be distinguished"):
        AutoregressiveStructDecoder().form(builder, ["A", "B"])
    form = AutoregressiveStructDecoder().form(builder, ["A"])
    gold = Gold("9:15", ("A",), ((0, 4, "A"),))
    (one,) = form.read(through_tokens(toy_codec, form.write(gold)), gold.text).mentions
    assert (one.label, one.text) == ("A", "9:15")


def test_question_names_all_labels(form):
    assert form.question == "person\nplace name\nplace\na / b\n\n<list>\n"
    assert NAMES["LOC"] in form.question


# --- what else a model may say ---


@pytest.mark.parametrize(
    ("answer", "expected", "n_malformed"),
    [
        ("\n", [], 0),
        ("person: Bo\n\n", [("person", 1, "Bo", True)], 0),
        ("person:Bo\n place :  A \n\n", [("person", 1, "Bo", True), ("place", 1, "A", True)], 0),
        ("thing: x\nperson: Bo\n\n", [("person", 1, "Bo", True)], 1),
        ("person Bo\n \nperson: Bo\n\n", [("person", 1, "Bo", True)], 2),
        ("person:\nperson: \nperson\n:\n\n", [], 4),
        ("person: Bo\n\nperson: X", [("person", 1, "Bo", True)], 0),
        ("Person: Bo\nperson: Bo: Bo\n\n", [("person", 1, "Bo: Bo", True)], 1),
        ("person: Bo~", [("person", 1, "Bo", True)], 0),
        ("~", [], 0),
        ("pers~", [], 1),
    ],
)
def test_well_formed_lines_are_kept_and_others_counted(decode, answer, expected, n_malformed):
    (prediction,) = decode({"doc": answer})
    assert mention_fields(prediction) == expected
    assert prediction.malformed == n_malformed
    assert prediction.ended
    labels = [label for label, *_ in expected]
    assert numbers(prediction) == [(labels.count("person"), False), (labels.count("place"), False)]


def test_mentions_come_by_label_and_then_in_reading_order(decode):
    (prediction,) = decode({"doc": "place: O\nperson: Bo\nplace: O\nperson: A\n\n"})
    assert mention_fields(prediction) == [
        ("person", 1, "Bo", True),
        ("person", 2, "A", True),
        ("place", 1, "O", True),
        ("place", 2, "O", True),
    ]


def test_a_mention_of_just_the_longest_length(decode):
    (prediction,) = decode({"doc": "person: abcde\n\n"}, max_mention_tokens=5)
    assert mention_fields(prediction) == [("person", 1, "abcde", True)]
    assert prediction.ended


def test_a_mention_that_is_too_long(decode):
    """Its line goes on for as long as one of the longest name, then the answer stops."""
    script = {"doc": "place: xy…", "dot": "place: abcdef\nperson: abc\nplace: x\n\n"}
    one, other = decode(script, max_mention_tokens=5)
    assert mention_fields(one) == [("place", 1, "xyyyy", False)]
    assert [len(mention.logprobs) for mention in one.mentions] == [5]
    assert not one.ended
    assert mention_fields(other) == [
        ("person", 1, "abc", True),
        ("place", 1, "abcde", False),
        ("place", 2, "x", True),
    ]
    assert other.ended


def test_more_mentions_than_the_bound(decode):
    one, other, third = decode(
        {
            "doc": "person: x\n" * 50,
            "dot": "person: x\nplace: y\nplace: z\nperson: x\n\n",
            "dog": "thing: x\n" * 50,
        },
        max_count=2,
    )
    assert mention_fields(one) == [("person", 1, "x", True), ("person", 2, "x", True)]
    assert numbers(one) == [(3, True), (0, False)]
    assert (one.ended, one.malformed) == (False, 0)
    assert numbers(other) == [(2, False), (2, False)]
    assert other.ended
    assert (third.mentions, third.ended, third.malformed) == ((), False, 3)


def test_a_line_that_never_becomes_one(decode):
    (prediction,) = decode({"doc": "person: Bo\nperson x…"}, max_mention_tokens=5)
    assert mention_fields(prediction) == [("person", 1, "Bo", True)]
    assert (prediction.malformed, prediction.ended) == (1, False)


def test_the_end_of_the_window(decode):
    """The model is never asked past its positions, which the scripted model checks."""
    (prediction,) = decode({"doc": "person: Bo\nperson: x…"}, max_positions=72)
    assert [one[2].rstrip("x") for one in mention_fields(prediction)] == ["Bo", ""]
    assert [one.ended for one in prediction.mentions] == [True, False]
    assert not prediction.ended
