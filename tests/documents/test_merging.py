"""Merging of the predictions of a document's windows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pipelines import (
    LABELS,
    ScriptedDecoder,
    ner_of,
)
from support.windowed import NLP, doc_of

from spacy_padellm.documents.merging import align_windows
from spacy_padellm.documents.prediction import Prediction
from spacy_padellm.documents.spans import Mention
from spacy_padellm.documents.windows import Window

pytest_plugins = ["support.pipeline_fixtures"]


def prediction_of(windows, lines, label="person"):
    """lines: for each window (string, probability) of mentions."""
    predictions = [
        ScriptedDecoder.prediction([(label, string, p) for string, p in mentions], LABELS)
        for mentions in lines
    ]
    return Prediction.of_windows([Window(*one) for one in windows], predictions)


def merged(text, windows, lines, **options):
    doc = NLP.make_doc(text)
    aligned = align_windows(doc, prediction_of(windows, lines), **options)
    for one in aligned.spans:
        assert doc.text[one.start_char : one.end_char] == one.text
        assert doc[one.start : one.end].text == one.text
    return aligned


def texts_and_scores(spans):
    return [(one.text, round(one.score, 3)) for one in spans]


TEXT = "One saw New York City and Bo there"  # New York City: 8 to 21


def test_the_same_span_of_two_windows_has_the_higher_score():
    windows = [(0, 28), (4, 34)]
    for scores in ((0.6, 0.9), (0.9, 0.6)):
        lines = [[("New York City", score)] for score in scores]
        aligned = merged(TEXT, windows, lines)
        assert texts_and_scores(aligned.spans) == [("New York City", 0.9)]
        assert texts_and_scores(aligned.superseded) == [("New York City", 0.6)]


def test_a_mention_cut_off_at_an_edge_gives_way_to_the_whole_one():
    lines = [[("New York", 0.99)], [("New York City", 0.5)]]
    aligned = merged(TEXT, [(0, 16), (4, 34)], lines)
    assert texts_and_scores(aligned.spans) == [("New York City", 0.5)]
    assert texts_and_scores(aligned.superseded) == [("New York", 0.99)]
    lines = [[("New York City", 0.5)], [("York City", 0.99)]]
    assert texts_and_scores(merged(TEXT, [(0, 25), (12, 34)], lines).spans) == [
        ("New York City", 0.5)
    ]


def test_span_at_an_edge_is_dropped_for_a_window_without_it():
    assert merged(TEXT, [(0, 21), (4, 34)], [[("New York City", 0.9)], []]).spans == []


def test_span_at_an_edge_is_kept_without_a_better_window():
    """Neither at the edges of the document, nor where the other window has no text in common."""
    (one,) = merged(TEXT, [(0, 16), (17, 34)], [[("New York", 0.8)], []]).spans
    assert one.text == "New York"
    assert texts_and_scores(merged(TEXT, [(0, 25), (4, 34)], [[("One", 0.7)], []]).spans) == [
        ("One", 0.7)
    ]
    assert texts_and_scores(merged(TEXT, [(0, 25), (4, 34)], [[], [("there", 0.7)]]).spans) == [
        ("there", 0.7)
    ]


def test_spans_that_conflict_are_left_to_the_rules_for_entities(tiny):
    doc = tiny.make_doc(TEXT)
    prediction = prediction_of([(0, 28), (4, 34)], [[("York City", 0.6)], [("New York", 0.8)]])
    ner = ner_of(tiny)
    spans = ner.align(doc, prediction).spans
    assert [one.text for one in spans] == ["New York", "York City"]
    ner.set_annotations([doc], [spans])
    assert [ent.text for ent in doc.ents] == ["New York"]
    assert len(doc.spans["padellm_ner"]) == 2


def test_repeats_are_sought_in_their_own_window():
    text = "Bo met Al. Bo met Ann. Bo met Ed."
    windows = [(0, 10), (11, 22), (23, 33)]
    aligned = merged(text, windows, [[], [("Bo", 0.9)], [("Bo", 0.8)]])
    assert [one.start_char for one in aligned.spans] == [11, 23]


def test_char_spans_of_constrained_mentions_are_offsets_in_the_window():
    second = Prediction(mentions=(Mention("person", 1, "Bo", (-0.1,), True, (-0.1,), ((0, 2),)),))
    doc = NLP.make_doc("Bo met Bo")
    both = Prediction.of_windows([Window(0, 6), Window(7, 9)], [Prediction(), second])
    (span,) = align_windows(doc, both).spans
    assert (span.start, span.start_char) == (2, 7)


def test_unaligned_mentions_have_a_reason():
    aligned = merged(TEXT, [(0, 25), (4, 34)], [[("Bo", 0.9)], [("Al", 0.9)]])
    assert [(mention.text, why) for mention, why in aligned.unaligned] == [
        ("Bo", "its string is not in the text"),
        ("Al", "its string is not in the text"),
    ]


def test_a_fragment_of_a_token_is_widened_to_the_token():
    doc = doc_of(["abcdefgh", "ij"])
    prediction = prediction_of([(2, 11)], [[("cdefgh ij", 0.9)]])
    (span,) = align_windows(doc, prediction).spans
    assert (span.start, span.end, span.start_char, span.end_char) == (0, 2, 2, 11)
    aligned = align_windows(doc, prediction, mode="drop")
    assert aligned.spans == []
    assert len(aligned.unaligned) == 1


@given(st.data())
def test_merging_is_that_of_a_plain_search(data):
    """Against each pair of windows being compared."""
    n = 40
    doc = doc_of([f"w{i:02}" for i in range(n)])
    starts = sorted(data.draw(st.sets(st.integers(0, n - 2), min_size=1, max_size=6)))
    windows = [(start * 4, data.draw(st.integers(start + 1, n)) * 4 - 1) for start in starts]
    lines = []
    for start, end in windows:
        words = doc.text[start:end].split()
        chosen = data.draw(st.lists(st.integers(0, len(words) - 1), max_size=4, unique=True))
        lines.append([(words[i], data.draw(st.floats(0.01, 1))) for i in sorted(chosen)])
    first, last = min(windows)[0], max(end for _, end in windows)
    expected = {}
    for (start, end), mentions in zip(windows, lines):
        for string, p in mentions:
            at = doc.text.find(string)
            to = at + len(string)
            touches = (at == start and at > first) or (to == end and to < last)
            if touches and any(
                (s < at or at == first) and (e > to or to == last) and s <= at and to <= e
                for s, e in windows
            ):
                continue
            expected[string] = max(p, expected.get(string, 0))
    spans = align_windows(doc, prediction_of(windows, lines)).spans
    assert {one.text: pytest.approx(one.score) for one in spans} == expected
    assert len(spans) == len(expected)
