"""Gold documents and the gold answers that training takes from them."""

from __future__ import annotations

from collections.abc import Sequence

from spacy.tokens import Doc

from ..documents.gold import Gold
from .annotated_labels import is_annotated_for


def gold_of(doc: Doc, labels: Sequence[str]) -> Gold:
    """The gold answers of a document, for the labels that it was annotated for.

    doc (Doc): A document with gold entities.
    labels (Sequence[str]): The component's labels.
    RETURNS (Gold): Its answers.
    """
    annotated = tuple(label for label in labels if is_annotated_for(doc, label))
    ents = sorted((ent.start_char, ent.end_char, ent.label_) for ent in doc.ents)
    spans = tuple(span for span in ents if span[2] in annotated)
    return Gold(doc.text, annotated, spans, len(annotated) == len(labels))


def is_usable(doc: Doc, labels: Sequence[str]) -> bool:
    """Whether a model can be trained on a gold document.

    doc (Doc): A document with gold entities.
    labels (Sequence[str]): The component's labels.
    RETURNS (bool): False if it has tokens without entity annotation (a count over a part of the
        document would be wrong), if its text is blank, or if it was annotated for none of the
        labels.
    """
    return (
        doc.has_annotation("ENT_IOB", require_complete=True)
        and bool(doc.text.strip())
        and any(is_annotated_for(doc, label) for label in labels)
    )
