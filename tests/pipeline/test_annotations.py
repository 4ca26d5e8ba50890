import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc, Span

from spacy_padellm.documents.spans import ScoredSpan
from spacy_padellm.pipeline.annotations import annotate
from spacy_padellm.pipeline.deduplicate import (
    deduplicate_by_span,
    deduplicate_by_text,
    keep_all,
    resolve_overlaps,
)

WORDS = ["Li", "Wei", "of", "New", "York", "City", "met", "Li"]
VOCAB = spacy.blank("en").vocab


def span(start, end, label, score):
    return ScoredSpan(start, end, 0, 1, label, score, " ".join(WORDS[start:end]))


def run(doc, *spans, deduplicate=deduplicate_by_span, threshold=0.0, key="k"):
    annotate(doc, spans, deduplicate, key, threshold)
    return [(ent.start, ent.end, ent.label_) for ent in doc.ents]


@pytest.fixture
def doc():
    return Doc(VOCAB, WORDS)


def test_scores_stand_beside_their_spans(doc):
    spans = [span(7, 8, "P", 0.25), span(3, 6, "L", 0.5), span(0, 2, "P", 1.0)]
    assert run(doc, *spans) == [(0, 2, "P"), (3, 6, "L"), (7, 8, "P")]
    group = doc.spans["k"]
    assert [(s.start, s.end, s.label_) for s in group] == [(0, 2, "P"), (3, 6, "L"), (7, 8, "P")]
    assert group.attrs["scores"].dtype == np.float32
    assert group.attrs["scores"].tolist() == [1.0, 0.5, 0.25]
    assert group.name == "k"


def test_overlaps_and_losers_stay_in_the_spans(doc):
    spans = [span(3, 5, "L", 0.6), span(3, 6, "L", 0.9), span(3, 6, "O", 0.3), span(5, 8, "P", 0.8)]
    assert run(doc, *spans) == [(3, 6, "L")]
    assert len(doc.spans["k"]) == len(doc.spans["k"].attrs["scores"]) == 4


def test_threshold_is_for_entities_alone(doc):
    spans = [span(0, 2, "P", 0.5), span(3, 6, "L", 0.4)]
    assert run(doc, *spans, threshold=0.5) == [(0, 2, "P")]
    assert len(doc.spans["k"]) == 2


def test_rule_of_deduplication_is_asked(doc):
    spans = [span(0, 2, "P", 0.9), span(0, 2, "O", 0.5), span(7, 8, "O", 0.4)]
    assert run(doc.copy(), *spans, deduplicate=keep_all) == [(0, 2, "P"), (7, 8, "O")]
    same = [span(0, 1, "P", 0.9), span(7, 8, "O", 0.4)]
    assert run(doc.copy(), *same, deduplicate=deduplicate_by_text) == [(0, 1, "P")]
    assert run(doc.copy(), *same) == [(0, 1, "P"), (7, 8, "O")]


def test_nothing_found_is_an_annotation_too(doc):
    assert run(doc) == []
    assert doc.has_annotation("ENT_IOB")
    assert list(doc.spans["k"]) == []
    assert doc.spans["k"].attrs["scores"].shape == (0,)


def test_empty_doc():
    doc = Doc(VOCAB)
    assert run(doc) == []
    assert list(doc.spans["k"]) == []


def test_entities_that_were_there_stay(doc):
    doc.set_ents([Span(doc, 4, 5, "old")])
    assert run(doc, span(3, 6, "L", 1.0), span(0, 2, "P", 0.1)) == [(0, 2, "P"), (4, 5, "old")]
    assert len(doc.spans["k"]) == 2


def test_attributes_of_old_entities_stay(doc):
    old = Span(doc, 0, 2, "old", kb_id="Q1", span_id="id")
    doc.set_ents([old])
    run(doc, span(3, 6, "L", 1.0))
    assert [(ent.kb_id_, ent.id_) for ent in doc.ents] == [("Q1", "id"), ("", "")]


def test_blocked_tokens_stay_free(doc):
    doc.set_ents([], blocked=[doc[4:5], doc[7:8]], default="missing")
    assert run(doc, span(3, 6, "L", 1.0), span(0, 2, "P", 1.0)) == [(0, 2, "P")]
    assert [token.i for token in doc if token.ent_iob == 3 and not token.ent_type] == [4, 7]
    assert [token.ent_iob_ for token in doc] == ["B", "I", "O", "O", "B", "O", "O", "B"]
    again = run(doc, span(4, 5, "L", 1.0))
    assert again == [(0, 2, "P")]


def test_tokens_known_to_be_outside_are_decided_anew(doc):
    doc.set_ents([], default="outside")
    assert run(doc, span(0, 2, "P", 1.0)) == [(0, 2, "P")]


def test_existing_entities_are_treated_as_spacys_ner_does(doc):
    """Old entities, blocked tokens and outside tokens, beside the parser of spaCy's `ner`, which
    is made to want an entity everywhere."""
    nlp = spacy.blank("en")
    ner = nlp.add_pipe("ner")
    ner.add_label("P")
    nlp.initialize()
    theirs = Doc(nlp.vocab, WORDS)
    theirs.set_ents([Span(theirs, 3, 5, "P")], blocked=[theirs[6:7]], default="missing")
    ours = theirs.copy()
    ner(theirs)
    run(ours, *[span(i, i + 1, "P", 1.0) for i in range(len(WORDS))])
    for doc in (theirs, ours):
        assert (3, 5, "P") in [(ent.start, ent.end, ent.label_) for ent in doc.ents]
        assert (doc[6].ent_iob, doc[6].ent_type) == (3, 0)
        assert doc.has_annotation("ENT_IOB", require_complete=True)


def test_annotating_again_replaces_the_spans(doc):
    run(doc, span(0, 2, "P", 1.0))
    run(doc, span(3, 6, "L", 0.5))
    assert [s.label_ for s in doc.spans["k"]] == ["L"]
    assert doc.spans["k"].attrs["scores"].tolist() == [0.5]
    assert [ent.label_ for ent in doc.ents] == ["P", "L"]


@given(
    found=st.lists(
        st.builds(
            lambda start, length, label, score: span(start, start + length, label, score),
            st.integers(0, len(WORDS) - 1),
            st.integers(1, 3),
            st.sampled_from("PLO"),
            st.sampled_from([0.25, 0.5, 1.0]),
        ).filter(lambda one: one.end <= len(WORDS)),
        max_size=5,
    ),
    old=st.lists(st.sampled_from(["", "", "", "B-P", "B-L", "X", "T"]), min_size=8, max_size=8),
)
def test_entities_stand_where_tokens_are_free(found, old):
    """Token by token: old entities, blocked tokens (X), and types without an entity (T)."""
    doc = Doc(VOCAB, WORDS)
    doc.set_ents(
        [Span(doc, i, i + 1, label=tag[2:]) for i, tag in enumerate(old) if tag.startswith("B-")],
        blocked=[doc[i : i + 1] for i, tag in enumerate(old) if tag == "X"],
        default="missing",
    )
    for token, tag in zip(doc, old, strict=True):
        if tag == "T":
            token.ent_type_ = "Q"
    before = [(ent.start, ent.end, ent.label_) for ent in doc.ents]
    free = [one for one in deduplicate_by_span(found) if not any(old[one.start : one.end])]
    expected = [(one.start, one.end, one.label) for one in resolve_overlaps(free)]
    assert run(doc, *found) == sorted([*before, *expected])
    for token, tag in zip(doc, old, strict=True):
        if tag == "X":
            assert (token.ent_iob_, token.ent_type_) == ("B", "")
    ranked = sorted(found, key=lambda one: (one.start, one.end))
    assert [(s.start, s.end, s.label_) for s in doc.spans["k"]] == [
        (one.start, one.end, one.label) for one in ranked
    ]
