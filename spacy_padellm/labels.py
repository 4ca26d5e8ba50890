"""Labels: what may be one, and which ones gold documents have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from spacy.tokens import Doc

from .reformulate import ANNOTATED_LABELS


def check_labels(labels: Any) -> list[str]:
    """Check labels as a user gives them.

    labels (Any): Should be a sequence of different strings that are not blank.
    RETURNS (list[str]): The labels.
    RAISES (ValueError): Anything else, naming the value.
    """
    if isinstance(labels, str) or not isinstance(labels, list | tuple):
        raise ValueError(f'labels must be a list of strings such as ["person"], not {labels!r}.')
    for label in labels:
        if not isinstance(label, str) or not label.strip():
            raise ValueError(
                f"A label must be a string that is not blank, not {label!r}. Labels are given as a "
                'list such as ["person", "organisation"].'
            )
    doubles = sorted({label for label in labels if labels.count(label) > 1})
    if doubles:
        raise ValueError(f"Each label must be given once; given more than once: {doubles}.")
    return list(labels)


def labels_of(docs: Iterable[Doc]) -> list[str]:
    """RETURNS (list[str]): Labels of the entities that gold documents have, sorted."""
    labels: set[str] = set()
    for doc in docs:
        labels.update(ent.label_ for ent in doc.ents)
        labels.update(doc.user_data.get(ANNOTATED_LABELS, ()))
    return sorted(labels)
