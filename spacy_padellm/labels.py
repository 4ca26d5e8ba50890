"""Labels: what may be one, and which ones gold documents have."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

from spacy.tokens import Doc

ANNOTATED_LABELS = "padellm_annotated_labels"


def check_labels(labels: Any) -> list[str]:
    """Check labels as a user gives them.

    labels (Any): Should be a sequence of strings that are not blank and don't look the same.
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
        if "${" in label or any("\ud800" <= char <= "\udfff" for char in label):
            raise ValueError(
                f"The label {label!r} can't be kept in a config: it holds ${{ or a lone surrogate. "
                "Use another name; label_definitions can say what the model reads for it."
            )
    doubles = sorted({label for label in labels if labels.count(label) > 1})
    if doubles:
        raise ValueError(f"Each label must be given once; given more than once: {doubles}.")
    alike: dict[str, list[str]] = {}
    for label in labels:
        alike.setdefault(unicodedata.normalize("NFC", label.strip()), []).append(label)
    if confused := [group for group in alike.values() if len(group) > 1]:
        raise ValueError(
            "Labels that differ in spaces around them or in Unicode composition alone look the "
            f"same: {confused}. Keep one of each; case does tell labels apart."
        )
    return list(labels)


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
