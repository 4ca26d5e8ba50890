"""The labels that gold documents have, and those that they were annotated for."""

from __future__ import annotations

from collections.abc import Iterable

from spacy.tokens import Doc

ANNOTATED_LABELS = "padellm_annotated_labels"


def answers_for(doc: Doc, label: str) -> bool:
    """Whether a gold document says anything of a label.

    A corpus put together from several sets may have documents in which some labels were never
    annotated; their absence there says nothing. `doc.user_data["padellm_annotated_labels"]`, a
    list of labels, names those that were; without it a document answers for all.

    doc (Doc): A document with gold entities.
    label (str): A label.
    RETURNS (bool): True if its absence means that there is none.
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
