import math
import pickle

import pytest
from support.alignments import NLP, char_spans, doc_of, mention, mentions_of, reasons

from spacy_padellm.documents import alignment
from spacy_padellm.documents.alignment import align
from spacy_padellm.documents.spans import Mention, ScoredSpan


def test_a_span_has_tokens_characters_label_score_and_text():
    doc = doc_of("Anna", "met", "Li", "Wei", "in", "Rome", ".")
    decoded = [mention("PER", 1, "Anna", -0.5), mention("PER", 2, "Li Wei", -0.25, -0.25)]
    aligned = align(doc, decoded)
    assert aligned.unaligned == []
    assert aligned.spans[0] == ScoredSpan(
        0, 1, 0, 4, "PER", pytest.approx(0.6065, abs=1e-4), "Anna"
    )
    assert aligned.spans[1] == ScoredSpan(
        2, 4, 9, 15, "PER", pytest.approx(0.6065, abs=1e-4), "Li Wei"
    )


def test_spans_come_in_reading_order_and_unaligned_ones_as_given():
    doc = doc_of("a", "b", "c")
    decoded = mentions_of(Y=["c", "y", "x"], X=["a", "x"])
    aligned = align(doc, decoded)
    assert char_spans(aligned) == [("X", 0, 1), ("Y", 4, 5)]
    assert [m.text for m, _ in aligned.unaligned] == ["y", "x", "x"]


def test_the_index_gives_the_order_of_a_label_whatever_the_order_given():
    doc = doc_of("x", "a", "x", "b", "x")
    decoded = [
        mention("L", 4, "x"),
        mention("L", 2, "a"),
        mention("L", 3, "x"),
        mention("L", 1, "x"),
    ]
    for one in (decoded, decoded[::-1]):
        assert char_spans(align(doc, one)) == [("L", 0, 1), ("L", 2, 3), ("L", 4, 5), ("L", 8, 9)]


@pytest.mark.parametrize(
    ("text", "ended", "reason"),
    [
        ("Berlin", True, alignment.NOT_IN_TEXT),
        ("rome", True, alignment.NOT_IN_TEXT),
        ("Rome \N{REPLACEMENT CHARACTER}", True, alignment.NOT_IN_TEXT),
        ("", True, alignment.BLANK),
        (" \t\n", True, alignment.BLANK),
        ("Rome", False, alignment.DID_NOT_END),
        ("", False, alignment.DID_NOT_END),
    ],
)
def test_unaligned_mentions_have_a_reason(text, ended, reason):
    decoded = mention("LOC", 1, text, ended=ended)
    aligned = align(doc_of("In", "Rome", "."), [decoded])
    assert aligned.spans == []
    assert aligned.unaligned == [(decoded, reason)]


def test_a_string_more_often_than_in_the_text_is_unaligned():
    aligned = align(doc_of("Rome", "and", "Rome"), mentions_of(LOC=["Rome"] * 3, ORG=["Rome"]))
    assert char_spans(aligned) == [("LOC", 0, 4), ("ORG", 0, 4), ("LOC", 9, 13)]
    assert [(m.index, reason) for m, reason in aligned.unaligned] == [(3, alignment.TOO_OFTEN)]


def test_an_unaligned_mention_does_not_move_the_next():
    doc = doc_of("Rome", "Oslo", "Rome")
    aligned = align(doc, mentions_of(LOC=["Oslo", "Paris", "Rome"]))
    assert char_spans(aligned) == [("LOC", 5, 9), ("LOC", 10, 14)]


@pytest.mark.parametrize("words", [[], ["  "], ["\n", "\t"]])
def test_a_text_without_words(words):
    aligned = align(doc_of(*words), mentions_of(LOC=["Rome", " "]))
    assert aligned.spans == []
    assert reasons(aligned) == [alignment.NOT_IN_TEXT, alignment.BLANK]


def test_no_mentions():
    aligned = align(doc_of("Rome"), [])
    assert (aligned.spans, aligned.unaligned) == ([], [])


def test_char_spans_of_the_decoder_are_used_whatever_the_text():
    """The text is not searched, nor are the spans compared with token boundaries."""
    doc = doc_of("Rome", "and", "Rome")
    known = Mention("L", 1, "Rome", (-0.1,), True, None, ((9, 13),))
    assert char_spans(align(doc, [known])) == [("L", 9, 13)]
    both = [Mention("L", k, "Rome", (-0.1,), True, None, ((0, 4), (9, 13))) for k in (1, 2, 3)]
    aligned = align(doc, both)
    assert char_spans(aligned) == [("L", 0, 4), ("L", 9, 13)]
    assert reasons(aligned) == [alignment.TOO_OFTEN]
    assert align(doc, []) == alignment.Alignment([], [])


class TestTokens:
    @pytest.mark.parametrize(
        ("text", "tokens"),
        [("York", (1, 2)), ("ork-b", (1, 2)), ("New York", (0, 2)), ("w Y", (0, 2))],
    )
    def test_expand_widens_to_whole_tokens(self, text, tokens):
        doc = doc_of("New", "York-based", "bank")
        (span,) = align(doc, mentions_of(L=[text])).spans
        assert (span.start, span.end) == tokens
        assert doc.text[span.start_char : span.end_char] == text == span.text

    def test_drop_leaves_unaligned_what_cuts_a_token(self):
        doc = doc_of("New", "York-based", "bank", "York")
        aligned = align(doc, mentions_of(L=["New York", "bank", "York", "York"]), mode="drop")
        assert char_spans(aligned) == [("L", 15, 19), ("L", 20, 24)]
        assert [(m.index, reason) for m, reason in aligned.unaligned] == [
            (1, alignment.INSIDE_TOKEN),
            (4, alignment.INSIDE_TOKEN),
        ]

    def test_an_unknown_mode_is_refused(self):
        with pytest.raises(ValueError, match=r"'contract'.*expand, drop"):
            align(doc_of("a"), [], mode="contract")

    @pytest.mark.parametrize("string", [" Rome ", "\tRome", "Rome\n", "\u3000Rome"])
    def test_whitespace_around_a_mention_is_not_part_of_it(self, string):
        doc = NLP["en"].make_doc("In \n Rome \t now")
        (span,) = align(doc, mentions_of(L=[string])).spans
        assert doc[span.start : span.end].text == span.text == "Rome"


class TestScore:
    def test_no_tokens_have_probability_one(self):
        (span,) = align(doc_of("a"), [Mention("L", 1, "a", (), True)]).spans
        assert span.score == 1.0

    def test_never_above_one(self):
        (span,) = align(doc_of("a"), [mention("L", 1, "a", 1e-4, 1e-3)]).spans
        assert span.score == 1.0

    def test_impossible_is_zero(self):
        (span,) = align(doc_of("a"), [mention("L", 1, "a", -1.0, float("-inf"))]).spans
        assert span.score == 0.0

    def test_not_a_number_is_refused(self):
        with pytest.raises(ValueError, match="mention 2 of label 'L', 'a', is not a number"):
            align(doc_of("a"), [mention("L", 2, "a", float("nan"))])


def test_a_score_is_the_product_of_count_and_mention():
    decoded = Mention("L", 2, "Rome", (-0.1, -0.2), True, (-0.05, 0.0), ((9, 13),), -0.5)
    (span,) = align(doc_of("Rome and Rome"), [decoded]).spans
    assert span.score == pytest.approx(math.exp(-0.8))
    assert span.text_score == pytest.approx(math.exp(-0.55))


def test_mentions_and_spans_travel_between_processes():
    decoded = mention("L", 1, "a", -0.5)
    aligned = align(doc_of("a"), [decoded, mention("L", 2, "b")])
    assert pickle.loads(pickle.dumps(aligned)) == aligned
    assert decoded.logprob == -0.5
