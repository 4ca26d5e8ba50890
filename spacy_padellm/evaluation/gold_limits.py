"""Limits of gold documents: annotation that is missing or that evaluation can't use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from spacy.tokens import Doc

from ..training.annotated_labels import is_annotated_for
from .outcome import span_key

LIMITS = {
    "not_annotated": "Documents without entity annotation, in which nothing is judged",
    "incomplete": "Documents of which some tokens lack entity annotation: their counts are left "
    "out, and so are predictions on those tokens",
    "some_labels": "Documents that are annotated for some of the labels only: padellm scores, "
    "counts and calibration leave the other labels out, but ents scores count predictions of them "
    "as wrong, as spaCy does",
    "blank": "Blank documents, for which the model is not run",
    "overlapping": "Gold spans that are in doc.spans but not in doc.ents, which holds no overlaps: "
    "they are not part of the gold entities, and predictions of them count as wrong",
}


def gold_limits(docs: Iterable[Doc], labels: Sequence[str]) -> dict[str, int]:
    """Count the gold documents, or gold spans, that each of `LIMITS` applies to.

    docs (Iterable[Doc]): Gold documents.
    labels (Sequence[str]): The component's labels.
    RETURNS (dict[str, int]): For each key of `LIMITS`, the number of documents; for "overlapping"
        the number of spans.
    """
    limits = dict.fromkeys(LIMITS, 0)
    for doc in docs:
        annotated = doc.has_annotation("ENT_IOB")
        complete = doc.has_annotation("ENT_IOB", require_complete=True)
        limits["not_annotated"] += not annotated
        limits["incomplete"] += annotated and not complete
        limits["some_labels"] += not all(is_annotated_for(doc, label) for label in labels)
        limits["blank"] += not doc.text.strip()
        spans = {span_key(span) for group in doc.spans.values() for span in group}
        overlapping = spans - {span_key(ent) for ent in doc.ents}
        limits["overlapping"] += sum(label in labels for *_, label in overlapping)
    return limits
