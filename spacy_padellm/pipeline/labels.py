"""Check the labels of a component."""

from __future__ import annotations

import unicodedata
from typing import Any


def check_labels(labels: Any) -> list[str]:
    """Check labels as a user gives them.

    labels (Any): Should be a list of strings that are not blank and don't look the same.
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
                "Use another name; label_definitions can give the model other words for it."
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
            f"same: {confused}. Keep one of each; labels may differ in case alone."
        )
    return list(labels)
