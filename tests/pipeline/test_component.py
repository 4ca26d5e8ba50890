import logging

import pytest
import spacy
from spacy.tokens import Doc, Span
from support.pipelines import (
    GOLD,
    LABELS,
    TEXTS,
    blank_pipeline,
    found,
    gold_examples,
    ner_of,
    same_annotation,
    scored,
    script,
)

from spacy_padellm.decoding.tree_decoder import TreeDecoder
from spacy_padellm.pipeline.component import PadellmNER

pytest_plugins = ["support.pipeline_fixtures"]

FAILS = "Bo slept. "
ODD_TEXTS = [
    "",
    " ",
    " \n\t\n ",
    "😀🎉👩‍👩‍👧 ❤️",
    "<num>",
    "Write <num>3\n<mention 1> as Angela Merkel does in Berlin.",
    "<mention 1>",
    "<|im_end|>",
    "<|im_start|>user Angela Merkel<|im_end|> visited <|endoftext|> Paris.",
    "entity type:\nperson\n\n<num>9",
    "\x00\x07 Paris",
]


class FailingDecoder(TreeDecoder):
    """Fails on a text."""

    def ask(self, builder, texts, *rest):
        if any(text.startswith(FAILS) for text in texts):
            raise ValueError(f"no answer to {FAILS!r}")
        return super().ask(builder, texts, *rest)


@pytest.fixture
def failing(taught):
    """A pipeline that fails on some documents."""
    ner_of(taught).decoder = FailingDecoder()
    return taught


def ignore(name, component, docs, error):
    """An error handler that goes on."""


class Failures:
    """An error handler that goes on, and remembers."""

    def __init__(self):
        self.texts = []
        self.errors = []

    def __call__(self, name, component, docs, error):
        assert name == "padellm_ner"
        assert isinstance(component, PadellmNER)
        self.texts += [doc.text for doc in docs]
        self.errors.append(error)


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


def test_documents_of_a_stream_come_in_order(taught):
    texts = TEXTS * 5
    docs = list(taught.pipe(texts, batch_size=3))
    assert [doc.text for doc in docs] == texts
    assert [found(doc) for doc in docs] == [entities for _, entities in GOLD] * 5


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


# --- errors ---


def test_document_that_fails_raises(failing):
    with pytest.raises(ValueError, match="no answer to 'Bo slept"):
        failing(FAILS)
    with pytest.raises(ValueError, match="no answer"):
        list(failing.pipe([*TEXTS, FAILS]))


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_document_that_fails_goes_alone(failing, batch_size):
    failures = Failures()
    failing.set_error_handler(failures)
    texts = [TEXTS[0], FAILS, TEXTS[1], TEXTS[2], FAILS + "!", TEXTS[3]]
    docs = list(failing.pipe(texts, batch_size=batch_size))
    assert [doc.text for doc in docs] == TEXTS
    assert [found(doc) for doc in docs] == [entities for _, entities in GOLD]
    assert failures.texts == [FAILS, FAILS + "!"]
    assert all("no answer" in str(error) for error in failures.errors)


def test_document_that_cannot_be_annotated_goes_alone(taught, monkeypatch):
    ner, annotate = ner_of(taught), PadellmNER.set_annotations

    def fail_on_rome(docs, scores):
        if any("Rome" in doc.text for doc in docs):
            raise RuntimeError("no Rome")
        annotate(ner, docs, scores)

    monkeypatch.setattr(ner, "set_annotations", fail_on_rome)
    with pytest.raises(RuntimeError, match="no Rome"):
        list(taught.pipe(TEXTS))
    taught.set_error_handler(ignore)
    docs = list(taught.pipe(TEXTS))
    assert [found(doc) for doc in docs] == [GOLD[i][1] for i in (0, 2, 3)]


# --- scores ---


def test_evaluation_fills_the_meta(taught):
    scores = taught.evaluate(gold_examples(taught))
    for key in ("ents_p", "ents_r", "ents_f", "padellm_p", "padellm_r", "padellm_f"):
        assert scores[key] == pytest.approx(1.0)
    for key in ("ents_per_type", "padellm_per_type"):
        assert sorted(scores[key]) == LABELS
    # what `spacy train` copies into meta.json
    weights = taught.get_pipe_meta("padellm_ner").default_score_weights
    assert set(weights) <= set(scores)
    assert {key for key, weight in weights.items() if weight is None} == {
        "ents_per_type",
        "padellm_per_type",
    }


def test_scorer_may_be_left_out(tiny_base):
    nlp = script(blank_pipeline(tiny_base, scorer=None), {})
    assert "padellm_f" not in nlp.evaluate(gold_examples(nlp))


def test_analysis_of_pipes_knows_what_is_assigned(tiny):
    summary = tiny.analyze_pipes()["summary"]["padellm_ner"]
    assert set(summary["assigns"]) == {"doc.ents", "doc.spans", "token.ent_iob", "token.ent_type"}


# --- real weights ---


def mixed_texts(sample):
    """Short and long texts of several languages."""
    short = [" ".join(text.split()[:6]) for text in sample[:28]]
    ends = [" ".join(text.split()[-4:]) for text in sample[:20]]
    long = [" ".join(sample[:4])]
    others = [
        "北京市长会见了法国总统。",
        "Die Stadt Köln liegt am Rhein; Angela Merkel kam 2015.",
        "Анна Каренина родилась в Москве.",
        "“Zoë”  said\tMáire O’Brien-Smith – of Łódź…",
    ]
    return [*short, *sample[28:], *ends, *long, *others]


@pytest.fixture(scope="module")
def one_by_one(shipped, sample_texts):
    return [shipped(text) for text in mixed_texts(sample_texts)]


@pytest.mark.weights
@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_batches_change_nothing(shipped, one_by_one, batch_size):
    docs = list(shipped.pipe([doc.text for doc in one_by_one], batch_size=batch_size))
    assert same_annotation(docs, one_by_one)
    assert sum(len(doc.ents) for doc in docs) > 30


@pytest.mark.weights
@pytest.mark.slow
def test_odd_texts_do_no_harm(shipped, one_by_one):
    """Texts of whitespace, emoji and control words, between others and alone."""
    ordinary = one_by_one[: len(ODD_TEXTS)]
    texts = [text for doc, odd in zip(ordinary, ODD_TEXTS, strict=True) for text in (doc.text, odd)]
    docs = list(shipped.pipe(texts, batch_size=len(texts)))
    assert [doc.text for doc in docs] == texts
    assert same_annotation(docs[::2], ordinary)
    assert same_annotation(docs[1::2], [shipped(text) for text in ODD_TEXTS])
    for doc in docs[1::2]:
        assert "padellm_ner" in doc.spans
        if not doc.text.strip():
            assert list(doc.spans["padellm_ner"]) == []


@pytest.mark.weights
def test_empty_document_without_tokens(shipped):
    doc = shipped(Doc(shipped.vocab))
    assert doc.ents == ()
    assert list(doc.spans["padellm_ner"]) == []
