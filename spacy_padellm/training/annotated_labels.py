"""The labels of gold documents, and the labels that they were annotated for."""

from __future__ import annotations

from collections.abc import Iterable

from spacy.tokens import Doc

ANNOTATED_LABELS = "padellm_annotated_labels"


def is_annotated_for(doc: Doc, label: str) -> bool:
    """Whether a gold document was annotated for a label.

    In a corpus put together from several sets, documents may lack the annotation of some labels.
    `doc.user_data["padellm_annotated_labels"]` lists the labels that a document was annotated for;
    without it, these are all labels.

    doc (Doc): A document with gold entities.
    label (str): A label.
    RETURNS (bool): True if the absence of this label in the document is a gold fact.
    """
    annotated = doc.user_data.get(ANNOTATED_LABELS)
    return annotated is None or label in annotated


def labels_of(docs: Iterable[Doc]) -> list[str]:
    """RETURNS (list[str]): Labels of the entities that gold documents have, sorted."""
    labels: set[str] = set()
    for doc in docs:
        labels.update(ent.label_ for ent in doc.ents)
        labels.update(doc.user_data.get(ANNOTATED_LABELS, ()))
    return sorted(labels)
