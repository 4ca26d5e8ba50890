import math

import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_padellm.documents.alignment import align
from spacy_padellm.documents.prediction import Count, Prediction
from spacy_padellm.documents.spans import Mention
from spacy_padellm.evaluation.counts import CountAnswer
from spacy_padellm.evaluation.outcome import Outcome
from spacy_padellm.training.annotated_labels import ANNOTATED_LABELS

NLP = spacy.blank("en")
LABELS = ["person", "place"]
TEXT = "Ada met Bo in Rome."
GOLD = [(0, 1, "person"), (2, 3, "person"), (4, 5, "place")]


def annotated(doc, ents):
    doc.ents = [Span(doc, *ent) for ent in ents]
    return doc


def outcome(mentions, ents, *, gold=GOLD, reference=None, counts=None):
    """mentions: (label, string, probability); ents: predicted entities (start, end, label)."""
    doc = NLP.make_doc(TEXT)
    if reference is None:
        reference = annotated(NLP.make_doc(TEXT), gold)
    counts = {label: sum(mention[0] == label for mention in mentions) for label in LABELS} | (
        counts or {}
    )
    generated = [
        Mention(label, i, string, (math.log(p),), True)
        for i, (label, string, p) in enumerate(mentions)
    ]
    prediction = Prediction(
        tuple(Count(label, n, 0.0) for label, n in counts.items()), tuple(generated)
    )
    alignment = align(doc, generated)
    return Outcome(Example(annotated(doc, ents), reference), prediction, alignment)


def keys(spans):
    return [(span.start, span.end, span.label_) for span in spans]


def test_all_right():
    found = outcome([], GOLD)
    assert keys(found.gold) == GOLD
    assert (found.missed, found.wrong, found.n_errors) == ([], [], 0)


def test_missed_and_wrong():
    found = outcome([], [(0, 1, "place"), (2, 4, "person"), (4, 5, "place")])
    assert keys(found.missed) == [(0, 1, "person"), (2, 3, "person")]
    assert keys(found.wrong) == [(0, 1, "place"), (2, 4, "person")]
    assert found.n_errors == 4


def test_tokens_that_differ_are_aligned():
    """The gold document splits "Rome." from the same text in another way."""
    words = ["Ada", "met", "B", "o", "in", "Rome", "."]
    spaces = [True, True, False, True, True, False, False]
    reference = annotated(
        Doc(NLP.vocab, words=words, spaces=spaces),
        [(0, 1, "person"), (2, 4, "person"), (5, 6, "place")],
    )
    assert outcome([], GOLD, reference=reference).n_errors == 0


def test_labels_without_annotation_are_not_judged():
    reference = annotated(NLP.make_doc(TEXT), GOLD)
    reference.user_data[ANNOTATED_LABELS] = ["place"]
    mentions = [("person", "Ada", 0.9), ("place", "Rome", 0.8)]
    found = outcome(mentions, [(0, 1, "person"), (1, 2, "person")], reference=reference)
    assert keys(found.gold) == keys(found.missed) == [(4, 5, "place")]
    assert found.wrong == []
    assert [found.is_right(ent) for ent in found.example.predicted.ents] == [None, None]
    assert found.counts(LABELS) == [CountAnswer("place", 1, 1)]
    assert list(found.scored_spans()) == [(pytest.approx(0.8), True)]


def test_counts():
    found = outcome([("person", "Ada", 0.9)], [], counts={"place": 3})
    assert found.counts(LABELS) == [CountAnswer("person", 2, 1), CountAnswer("place", 1, 3)]
    # a label that the decoder did not count, as for a blank text
    assert found.counts([*LABELS, "city"]) == found.counts(LABELS)


@pytest.mark.parametrize("missing", [[0], [0, 1, 2, 3, 4, 5]])
def test_counts_need_annotation_of_every_token(missing):
    reference = NLP.make_doc(TEXT)
    reference.set_ents(
        [Span(reference, 2, 3, label="person")],
        missing=[reference[i : i + 1] for i in missing if i != 2],
        default="outside",
    )
    found = outcome([("person", "Ada", 0.9)], [(0, 1, "person")], reference=reference)
    assert found.counts(LABELS) == []
    assert found.is_right(found.example.predicted.ents[0]) is None
    assert list(found.scored_spans()) == list(found.scored_ents()) == []


def test_scored_spans_and_those_that_are_entities():
    mentions = [("person", "Ada", 0.9), ("place", "Ada", 0.2), ("person", "Bo", 0.6)]
    found = outcome(mentions, [(0, 1, "person"), (4, 5, "place")])
    assert sorted(found.scored_spans()) == [
        (pytest.approx(0.2), False),
        (pytest.approx(0.6), True),
        (pytest.approx(0.9), True),
    ]
    # the entity in Rome is another component's, and has no probability
    assert list(found.scored_ents()) == [(pytest.approx(0.9), True)]


def test_entity_found_twice_has_its_best_probability():
    """Two mentions that widen to one token."""
    mentions = [("person", "Ro", 0.3), ("person", "ome", 0.7)]
    found = outcome(mentions, [(4, 5, "person")])
    assert [len(found.alignment.spans), list(found.scored_ents())] == [
        2,
        [(pytest.approx(0.7), False)],
    ]
