"""Streams of documents: their order, batches, and documents that fail."""

import pytest
from support.pipelines import GOLD, TEXTS, found, ner_of, same_annotation

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

    def question_trees(self, builder, texts, *rest):
        if any(text.startswith(FAILS) for text in texts):
            raise ValueError(f"no answer to {FAILS!r}")
        return super().question_trees(builder, texts, *rest)


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


def test_documents_of_a_stream_come_in_order(taught):
    texts = TEXTS * 5
    docs = list(taught.pipe(texts, batch_size=3))
    assert [doc.text for doc in docs] == texts
    assert [found(doc) for doc in docs] == [entities for _, entities in GOLD] * 5


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
