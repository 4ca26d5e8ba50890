"""The parts of documents that are read on their own."""

import pickle
import subprocess
import sys

import pytest
import spacy
from support.pipelines import (
    TEXTS,
    blank_pipeline,
    found,
    ner_of,
)
from support.windowed import BOOK, NLP, doc_of, names_in, reader

from spacy_padellm.documents.span_getters import (
    ensure_registry,
    make_doc_spans,
    make_sent_spans,
    make_strided_spans,
)
from spacy_padellm.documents.windows import Window, Windows

pytest_plugins = ["support.pipeline_fixtures"]

NOT_IMPORTED = "spacy-transformers can't be imported: it needs an older transformers"


def strided(window, stride):
    return make_strided_spans(window, stride)


def test_getters_of_parts(toy_codec):
    docs = [NLP.make_doc(BOOK[:200]), NLP.make_doc("Bo"), NLP.make_doc("")]
    (parts, whole, empty), _ = Windows(strided(10, 5)).split(docs, toy_codec, None)
    assert [docs[0].text[start:end] for start, end in parts] == [
        docs[0][i : i + 10].text.strip() for i in range(0, len(docs[0]) - 5, 5)
    ]
    assert whole is None
    assert empty is None
    assert [[len(span) for span in spans] for spans in make_doc_spans()(docs)] == [
        [len(doc)] for doc in docs
    ]


@pytest.mark.parametrize(("n", "window", "stride"), [(7, 4, 4), (25, 10, 4), (3, 8, 8), (8, 4, 2)])
def test_strided_spans_hold_every_token(n, window, stride):
    doc = doc_of(["a"] * n)
    (spans,) = strided(window, stride)([doc])
    assert {token.i for span in spans for token in span} == set(range(n))
    assert all(len(span) == window for span in spans[:-1])
    assert spans[-1].end == n


def test_sentences_as_parts(toy_codec):
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    doc = nlp(" ".join(TEXTS))
    ((*windows,),) = Windows(make_sent_spans()).split([doc], toy_codec, None).windows
    assert [doc.text[start:end] for start, end in windows] == TEXTS
    with pytest.raises(ValueError, match="no sentence boundaries: 'Ada Byron"):
        make_sent_spans()([NLP.make_doc(" ".join(TEXTS))])
    assert make_sent_spans()([NLP.make_doc("")]) == [[]]


def test_a_long_sentence_is_cut_too(toy_codec):
    doc = NLP.make_doc("a " * 100)
    getter = strided(60, 60)
    (windows,) = Windows(getter, 32, 8).split([doc], toy_codec, None).windows
    assert len(windows) > 4
    assert windows[-1].end == len(doc.text.rstrip())


def test_parts_that_leave_text_out_are_the_getters_choice(toy_codec):
    docs = [NLP.make_doc("Bo met Ada"), NLP.make_doc("Rome")]

    def first_token(docs):
        return [[doc[:1]] if len(doc) > 1 else [] for doc in docs]

    assert Windows(first_token).split(docs, toy_codec, None).windows == [(Window(0, 2),), ()]


@pytest.mark.parametrize(
    ("getter", "message"),
    [
        (lambda docs: [], "gave spans for 0 documents, and was called with 1"),
        (lambda docs: [[NLP.make_doc("Bo")[:]]], "span of another document for 'Ada'"),
    ],
)
def test_getters_that_fail(toy_codec, getter, message):
    with pytest.raises(ValueError, match=message):
        Windows(getter).split([NLP.make_doc("Ada")], toy_codec, None)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"window_tokens": 15}, "window_tokens must be an integer from 16 or null, not 15"),
        ({"window_tokens": 40, "window_overlap": 21}, "at most half of window_tokens, 20, not 21"),
        ({"window_overlap": -1}, "window_overlap must be an integer from 0, not -1"),
    ],
)
def test_settings_are_checked(tiny_base, config, message):
    with pytest.raises(ValueError, match=message):
        blank_pipeline(tiny_base, **config)


def test_strides_are_checked():
    with pytest.raises(ValueError, match="stride of 5 tokens is more than the window of 4"):
        make_strided_spans(4, 5)
    with pytest.raises(ValueError, match="window must be an integer from 1, not 0"):
        make_strided_spans(0, 1)
    with pytest.raises(ValueError, match="get_spans must be a function"):
        Windows("doc_spans")


def test_getters_go_to_other_processes():
    windows = Windows(strided(4, 2), 32, 8)
    copy = pickle.loads(pickle.dumps(windows))
    doc = doc_of(["a"] * 9)
    assert [s.start for s in copy.get_spans([doc])[0]] == [0, 2, 4, 6]


@pytest.mark.parametrize("name", ["strided_spans", "sent_spans", "doc_spans"])
def test_getters_of_spacy_transformers(tiny_base, name):
    pytest.importorskip("spacy_transformers", reason=NOT_IMPORTED, exc_type=ImportError)
    getter = {"@span_getters": f"spacy-transformers.{name}.v1"}
    if name == "strided_spans":
        getter |= {"window": 12, "stride": 6}
    nlp = reader(tiny_base, get_spans=getter)
    nlp.add_pipe("sentencizer", first=True)
    doc = nlp(BOOK[:400])
    assert found(doc) == names_in(BOOK[:400])
    own = reader(tiny_base, get_spans={**getter, "@span_getters": f"spacy-padellm.{name}.v1"})
    own.add_pipe("sentencizer", first=True)
    own(BOOK[:400])
    assert ner_of(own).decoder.decoded == ner_of(nlp).decoder.decoded


IN_REGISTRY = "spacy.registry.has('span_getters', 'spacy-padellm.doc_spans.v1')"


def printed(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_registry_is_there_without_spacy_transformers():
    code = "import sys, spacy; sys.modules['spacy_transformers'] = None\n"
    code += "print(hasattr(spacy.registry, 'span_getters'))\n"
    code += f"from spacy_padellm.pipeline import factory\nprint({IN_REGISTRY})"
    assert printed(code) == ["False", "True"]


@pytest.mark.slow
def test_registry_is_there_before_and_after_that_of_spacy_transformers():
    pytest.importorskip("spacy_transformers", reason=NOT_IMPORTED, exc_type=ImportError)
    code = f"import spacy\nfrom spacy_padellm.pipeline import factory\nprint({IN_REGISTRY})\n"
    code += f"import spacy_transformers\nprint({IN_REGISTRY})\n"
    code += "print(spacy.registry.has('span_getters', 'spacy-transformers.doc_spans.v1'))\n"
    code += f"factory.ensure_registry()\nprint({IN_REGISTRY})"
    assert printed(code) == ["True"] * 4


def test_a_registry_that_is_there_stays(monkeypatch):
    monkeypatch.setattr(spacy.registry, "span_getters", "theirs", raising=False)
    ensure_registry()
    assert spacy.registry.span_getters == "theirs"


# --- many entities ---
