import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_padellm.corpus.statistics import (
    BLANK,
    NO_LABEL,
    NOT_ANNOTATED,
    CorpusStatistics,
    count_overlapping,
    why_no_tree,
)
from spacy_padellm.training.annotated_labels import ANNOTATED_LABELS

NLP = spacy.blank("en")
LABELS = ["PER", "LOC", "ORG"]


def gold(text, *spans):
    doc = NLP.make_doc(text)
    doc.set_ents([doc.char_span(*span) for span in spans])
    return doc


def statistics(*docs, labels=LABELS):
    counted = CorpusStatistics(labels)
    for doc in docs:
        counted.add(Example(NLP.make_doc(doc.text), doc))
    return counted


def test_mentions_and_counts():
    counted = statistics(
        gold("Ada met Bo in Rome", (0, 3, "PER"), (8, 10, "PER"), (14, 18, "LOC")),
        gold("Oslo", (0, 4, "CITY")),
        gold("Nothing"),
    )
    assert (counted.documents, counted.tokens, counted.mentions) == (3, 7, 4)
    assert counted.mentions_per_document == {3: 1, 1: 1, 0: 1}
    assert counted.labels["PER"].counts == {2: 1, 0: 2}
    assert counted.labels["ORG"].counts == {0: 3}
    assert counted.labels["CITY"].mentions == 1
    assert not counted.labels["CITY"].counts
    assert counted.counts == {2: 1, 1: 1, 0: 7}
    assert counted.mentioned_labels == {"PER", "LOC", "CITY"}


def test_a_label_that_a_document_is_not_annotated_for_is_no_prompt():
    doc = gold("Ada", (0, 3, "PER"))
    doc.user_data[ANNOTATED_LABELS] = ["PER"]
    counted = statistics(doc)
    assert counted.labels["PER"].counts == {1: 1}
    assert not counted.labels["LOC"].counts


def test_why_no_tree():
    partly = gold("Ada met Bo")
    partly.set_ents([], missing=[partly[0:1]], default="outside")
    other = gold("Ada")
    other.user_data[ANNOTATED_LABELS] = ["DATE"]
    blank = Doc(NLP.vocab, words=[" ", "\n"], spaces=[False, False])
    docs = [gold("Ada"), NLP.make_doc("Ada"), partly, other, blank]
    reasons = [why_no_tree(doc, LABELS) for doc in docs]
    assert reasons == [None, NOT_ANNOTATED, NOT_ANNOTATED, NO_LABEL, BLANK]
    assert statistics(*docs).no_tree == {NOT_ANNOTATED: 2, NO_LABEL: 1, BLANK: 1}


def test_gold_inside_a_token_of_the_pipeline():
    doc = Doc(NLP.vocab, words=["ex", "-", "x", "Bo"], spaces=[False, False, True, False])
    doc.set_ents([Span(doc, 0, 1, "ORG"), Span(doc, 3, 4, "PER")])
    predicted = Doc(NLP.vocab, words=["ex-x", "Bo"], spaces=[True, False])
    counted = CorpusStatistics(LABELS)
    counted.add(Example(predicted, doc))
    assert counted.misaligned == 1
    assert counted.misaligned_examples == ["'ex' (ORG) in 'ex-x Bo'"]


def test_span_groups():
    doc = gold("Bank of Rome met Ada", (0, 12, "ORG"))
    doc.spans["gold"] = [doc[0:3], doc[2:3], doc[4:5]]
    doc.spans["gold"] = [Span(doc, 0, 3, "ORG"), Span(doc, 2, 3, "LOC"), Span(doc, 4, 5, "PER")]
    group = statistics(doc).groups["gold"]
    assert (group.spans, group.overlapping, group.not_in_ents) == (3, 2, 2)


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], 0),
        ([(0, 2), (2, 3)], 0),
        ([(0, 2), (0, 2)], 2),
        ([(0, 9), (1, 2), (3, 4), (8, 12), (12, 13)], 4),
        ([(0, 3), (1, 2), (2, 5), (5, 6)], 3),
    ],
)
def test_count_overlapping(spans, expected):
    assert count_overlapping(spans) == expected


def test_repeated_texts():
    counted = statistics(gold("Ada"), gold("Ada "), gold("Bo"))
    assert counted.repeated == 1
    assert len(counted.texts) == 2
