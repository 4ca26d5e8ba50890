import logging

import pytest
import spacy
from spacy.tokens import Doc, Span
from support.pipelines import (
    GOLD,
    TEXTS,
    blank_pipeline,
    found,
    ner_of,
    same_annotation,
    scored,
    script,
)

pytest_plugins = ["support.pipeline_fixtures"]


# --- what is found ---


def test_finds_what_it_was_taught(taught):
    for text, entities in GOLD:
        doc = taught(text)
        assert found(doc) == entities
        assert [span[:3] for span in scored(doc)] == entities
        assert all(0.9 < score <= 1 for *_, score in scored(doc))


def test_predict_leaves_documents_alone(taught):
    doc = taught.make_doc(TEXTS[0])
    before = doc.to_bytes()
    (spans,) = ner_of(taught).predict([doc])
    assert [(span.text, span.label) for span in spans] == [
        ("Ada Byron", "person"),
        ("Bo", "person"),
    ]
    assert doc.to_bytes() == before
    assert ner_of(taught).predict([]) == []


def test_set_annotations_does_not_run_the_model(taught):
    ner = ner_of(taught)
    docs = [taught.make_doc(text) for text in TEXTS]
    spans = ner.predict(docs)
    ner.decoder = None
    ner.set_annotations(docs, spans)
    assert [found(doc) for doc in docs] == [entities for _, entities in GOLD]


def test_works_beside_another_component_of_its_kind(taught, taught_folder):
    other = spacy.load(taught_folder)
    taught.add_pipe("padellm_ner", name="second", source=other)
    ner = ner_of(taught)
    taught.get_pipe("second").cfg["spans_key"] = "second"
    ner.cfg["threshold"] = 1.0
    doc = taught(TEXTS[1])
    assert found(doc) == [(0, 4, "place")]
    assert scored(doc)[0][:3] == scored(doc, "second")[0][:3] == (0, 4, "place")


# --- settings ---


def test_spans_key(tiny_base):
    nlp = script(blank_pipeline(tiny_base, spans_key="llm"), {"Bo": [("person", "Bo", 0.5)]})
    doc = nlp("Bo")
    assert list(doc.spans) == ["llm"]
    assert scored(doc, "llm") == [(0, 2, "person", pytest.approx(0.5))]


def test_threshold_of_the_config_and_of_find_threshold(tiny_base):
    lines = {"Bo in Oslo": [("person", "Bo", 0.9), ("place", "Oslo", 0.4)]}
    nlp = script(blank_pipeline(tiny_base, threshold=0.5), lines)
    assert found(nlp("Bo in Oslo")) == [(0, 2, "person")]
    ner_of(nlp).cfg["threshold"] = 0.3  # what `spacy find-threshold` does
    doc = nlp("Bo in Oslo")
    assert found(doc) == [(0, 2, "person"), (6, 10, "place")]
    ner_of(nlp).cfg["threshold"] = 0.95
    doc = nlp("Bo in Oslo")
    assert found(doc) == []
    assert [round(score, 3) for *_, score in scored(doc)] == [0.9, 0.4]


@pytest.mark.parametrize(
    ("mode", "entities"), [("expand", [(0, 5, "person")]), ("drop", [])], ids=["expand", "drop"]
)
def test_mention_inside_a_token(tiny_base, mode, entities):
    nlp = script(
        blank_pipeline(tiny_base, alignment_mode=mode), {"Bobby ran": [("person", "Bob", 0.8)]}
    )
    doc = nlp("Bobby ran")
    assert found(doc) == entities
    assert [span[:3] for span in scored(doc)] == entities


def test_rule_of_deduplication_of_the_config(tiny_base):
    lines = {"Bo met Bo": [("person", "Bo", 0.9), ("place", "Bo", 0.8), ("place", "Bo", 0.7)]}
    by_span = script(blank_pipeline(tiny_base), lines)
    assert found(by_span("Bo met Bo")) == [(0, 2, "person"), (7, 9, "place")]
    rule = {"@misc": "spacy-padellm.deduplicate_by_text.v1"}
    by_text = script(blank_pipeline(tiny_base, deduplicate=rule), lines)
    doc = by_text("Bo met Bo")
    assert found(doc) == [(0, 2, "person")]
    assert len(scored(doc)) == 3


def test_what_cannot_be_aligned_is_logged_not_invented(tiny_base, caplog):
    nlp = script(blank_pipeline(tiny_base), {"Bo": [("person", "Al", 0.9), ("person", "Bo", 0.8)]})
    with caplog.at_level(logging.DEBUG, logger="spacy_padellm"):
        assert found(nlp("Bo")) == [(0, 2, "person")]
    assert [r.getMessage() for r in caplog.records if "no span for 'Al'" in r.getMessage()]


def test_replicated_decoder_finds_the_same(taught, taught_folder):
    config = {
        "components.padellm_ner.decoder": {
            "@misc": "spacy-padellm.replicated_decoder.v1",
            "max_count": 99,
            "max_mention_tokens": 64,
            "batch_tokens": None,
        }
    }
    replicated = spacy.load(taught_folder, config=config)
    assert type(ner_of(replicated).decoder) is not type(ner_of(taught).decoder)
    assert same_annotation(taught.pipe(TEXTS), replicated.pipe(TEXTS), 1e-3)


# --- documents that have entities already ---


def test_existing_entities_stay(taught):
    doc = taught.make_doc(TEXTS[0])
    doc.set_ents([Span(doc, 0, 1, label="title")])
    doc = taught(doc)
    assert found(doc) == [(0, 3, "title"), (14, 16, "person")]
    assert [span[:3] for span in scored(doc)] == GOLD[0][1]


def test_blocked_tokens_stay_free(taught):
    doc = taught.make_doc(TEXTS[2])
    doc.set_ents([], blocked=[doc[0:1]], default="missing")
    doc = taught(doc)
    assert found(doc) == [(9, 13, "place")]
    assert (doc[0].ent_iob, doc[0].ent_type_) == (3, "")


@pytest.mark.weights
def test_empty_document_without_tokens(shipped):
    doc = shipped(Doc(shipped.vocab))
    assert doc.ents == ()
    assert list(doc.spans["padellm_ner"]) == []
