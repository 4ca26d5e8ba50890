from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.vocab import Vocab
from support.pipelines import blank_pipeline, ner_of

from spacy_padellm.training.annotated_labels import ANNOTATED_LABELS, is_annotated_for, labels_of

pytest_plugins = ["support.pipeline_fixtures"]


def annotated(*labels, answers=None):
    doc = Doc(Vocab(), ["a"] * max(1, len(labels)))
    doc.set_ents([Span(doc, i, i + 1, label=label) for i, label in enumerate(labels)])
    if answers is not None:
        doc.user_data[ANNOTATED_LABELS] = answers
    return doc


def test_labels_of_documents():
    docs = [annotated("b", "a"), annotated(), annotated("b", answers=["b", "z"])]
    assert labels_of(docs) == ["a", "b", "z"]


def test_labels_that_a_document_is_annotated_for():
    assert is_annotated_for(annotated("a"), "b")
    assert is_annotated_for(annotated("a", answers=["a", "b"]), "b")
    assert not is_annotated_for(annotated("a", answers=["a"]), "b")


def test_annotated_labels_travel_with_examples(tiny_base):
    nlp = blank_pipeline(tiny_base, labels=[])
    doc = annotated("a", answers=["a", "c"])
    nlp.initialize(lambda: [Example(Doc(doc.vocab, ["a"]), doc)])
    assert ner_of(nlp).labels == ("a", "c")
