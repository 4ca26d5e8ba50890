"""A batch through the pipeline: each document has a record or a reason."""

import json
import math

import numpy as np
import pytest
import spacy
from spacy.tokens import DocBin, Span, SpanGroup
from support.annotate_files import CODE
from support.pipelines import TEXTS, found, scored

from spacy_padellm.annotate.annotator import Annotator, BrokenPipeline
from spacy_padellm.annotate.items import Item
from spacy_padellm.annotate.job import Job

pytest_plugins = ["support.pipeline_fixtures", "support.annotate_fixtures"]


def items(texts, **rest):
    return [
        Item(0, number, "jsonl", json.dumps({"text": text, **rest}).encode())
        for number, text in enumerate(texts, 1)
    ]


@pytest.fixture
def annotate(ruler):
    """A function that annotates texts: the records, and the reasons by text."""

    def run(texts, **settings):
        job = Job(str(ruler), code=CODE, **settings)
        done = Annotator(spacy.load(ruler), job)(items(texts))
        records = [json.loads(line) for line in done.content.splitlines()]
        assert len(records) == done.annotated
        assert len(records) + len(done.failures) == len(texts)
        for failure in done.failures:
            assert failure.text == texts[failure.number - 1]
            assert json.loads(failure.source)["text"] == failure.text
        reasons = {failure.text: failure.reason for failure in done.failures}
        return [record["text"] for record in records], reasons

    return run


@pytest.mark.parametrize("other", ["", "TOGETHER"])
def test_other_documents_are_annotated(annotate, other):
    """Documents that fail together are run alone."""
    texts = ["Ada", "FAIL", "Bo", "DROP", "Rome", "RAISE", "", other, "OTHER"]
    done, reasons = annotate(texts)
    assert done == ["Ada", "Bo", "Rome", "", other]
    assert reasons == {
        "FAIL": "scripted_errors: ValueError: set to fail",
        "DROP": "the pipeline gave no document back",
        "RAISE": "KeyError: 'set to raise'",
        "OTHER": "the pipeline gave a document of another text back",
    }


def test_texts_that_spacy_refuses(annotate):
    done, reasons = annotate(["a", "half \ud800", "x" * 1_000_001, "b"])
    assert done == ["a", "b"]
    assert "surrogates not allowed" in reasons["half \ud800"]
    assert "E088" in reasons["x" * 1_000_001]


def test_broken_pipeline_stops(annotate, ruler):
    """Unlike a document that fails."""
    with pytest.raises(BrokenPipeline, match="set to fail"):
        annotate(["a", "BREAK", "b"])
    nlp = spacy.load(ruler)
    nlp.get_pipe("scripted_errors").broken = True
    with pytest.raises(BrokenPipeline, match="set to fail"):
        Annotator(nlp, Job(str(ruler)))(items(["a", "b"]))


def test_scores_are_those_of_the_span_groups(taught_folder):
    nlp = spacy.load(taught_folder)
    expected = [(scored(doc), found(doc)) for doc in map(nlp, TEXTS)]
    done = Annotator(spacy.load(taught_folder), Job(str(taught_folder)))(items(TEXTS, id=7))
    for line, (spans, ents) in zip(done.content.splitlines(), expected, strict=True):
        record = json.loads(line)
        assert record["id"] == 7
        char_spans = [(ent["start"], ent["end"], ent["label"]) for ent in record["entities"]]
        assert char_spans == ents
        for ent in record["entities"]:
            (score,) = [score for *char_span, score in spans if char_span[0] == ent["start"]]
            assert ent["score"] == pytest.approx(score, abs=1e-4)
            assert ent["text"] == record["text"][ent["start"] : ent["end"]]
    assert sum(map(len, expected[0])) > 0


@pytest.mark.parametrize(
    ("scores", "expected"), [([0.25], 0.25), ([math.nan], None), ([1, 2], None)]
)
def test_scores_of_another_component(ruler, scores, expected):
    nlp = spacy.load(ruler)

    name = f"scores {scores}".replace(".", "")

    @spacy.Language.component(name)
    def with_scores(doc):
        spans = [Span(doc, 0, 1, "person")]
        attrs = {"scores": np.array(scores, dtype="float32")}
        doc.spans["other"] = SpanGroup(doc, name="other", spans=spans, attrs=attrs)
        return doc

    nlp.add_pipe(name)
    done = Annotator(nlp, Job(str(ruler), spans_keys=("other", "not there")))(items(["Ada"]))
    assert [ent["score"] for ent in json.loads(done.content)["entities"]] == [expected]


def test_docs_keep_what_they_have(ruler):
    nlp = spacy.load(ruler)
    doc = spacy.blank("en")("Ada left Bo")
    doc.ents = [Span(doc, 2, 3, "other")]
    doc.user_data["mine"] = 1
    batch = [Item(0, 1, "spacy", (doc.text, doc.to_bytes()))]
    batch += items(["Rome", "UNWRITABLE", "Ada"], more=[1])
    batch += [Item(0, 9, "jsonl", b'{"text": "Bo", "more": 1e400}')]
    batch += [Item(0, 9, "jsonl", b'{"text": "Bo", "more": %d}' % 10**30)]
    done = Annotator(nlp, Job(str(ruler), format="spacy"))(batch)
    docs = list(DocBin().from_bytes(done.content).get_docs(spacy.blank("en").vocab))
    assert [doc.text for doc in docs] == ["Ada left Bo", "Rome", "Ada", "Bo"]
    assert found(docs[0]) == [(0, 3, "person"), (9, 11, "other")]
    assert docs[0].user_data == {"mine": 1}
    assert docs[1].user_data == {"record": {"more": (1,)}}
    assert [failure.number for failure in done.failures] == [2, 9]
    assert all("can't be written as DocBin" in failure.reason for failure in done.failures)


def test_the_vocabulary_does_not_grow(ruler):
    nlp = spacy.load(ruler)
    annotator = Annotator(nlp, Job(str(ruler)))
    annotator(items(["warm FAIL up"]))
    before = set(nlp.vocab.strings), {lexeme.text for lexeme in nlp.vocab}
    for number in range(3):
        annotator(items([f"word{number}{i} FAIL{i}" for i in range(20)]))
    assert (set(nlp.vocab.strings), {lexeme.text for lexeme in nlp.vocab}) == before
