"""What a gold document says: the labels it answers for, and their spans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spacy.tokens import Doc

from .labels import answers_for


@dataclass(frozen=True)
class Gold:
    """The gold answers of one document.

    text (str): Its text.
    labels (tuple[str, ...]): The labels that it answers for, in the order they are asked for.
    spans (tuple[tuple[int, int, str], ...]): Start and end character and label of each entity of
        these labels, in reading order.
    complete (bool): Whether it answers for all labels of the component.
    """

    text: str
    labels: tuple[str, ...]
    spans: tuple[tuple[int, int, str], ...]
    complete: bool = True

    @property
    def mentions(self) -> dict[str, list[str]]:
        """RETURNS (dict[str, list[str]]): For each label, its mentions in reading order."""
        mentions: dict[str, list[str]] = {label: [] for label in self.labels}
        for start, end, label in self.spans:
            mentions[label].append(self.text[start:end])
        return mentions


def gold_of(doc: Doc, labels: Sequence[str]) -> Gold:
    """The answers that a gold document gives, for the labels it answers for (`answers_for`).

    doc (Doc): A document with gold entities.
    labels (Sequence[str]): The component's labels.
    RETURNS (Gold): Its answers.
    """
    asked = tuple(label for label in labels if answers_for(doc, label))
    spans = sorted((ent.start_char, ent.end_char, ent.label_) for ent in doc.ents)
    known = tuple(span for span in spans if span[2] in asked)
    return Gold(doc.text, asked, known, len(asked) == len(labels))


def is_usable(doc: Doc, labels: Sequence[str]) -> bool:
    """Whether a model can be trained on a gold document.

    doc (Doc): A document with gold entities.
    labels (Sequence[str]): The labels to ask for.
    RETURNS (bool): False if it has tokens without entity annotation (a count over a part of the
        document would be wrong), if its text is blank, or if it answers for none of the labels.
    """
    return (
        doc.has_annotation("ENT_IOB", require_complete=True)
        and bool(doc.text.strip())
        and any(answers_for(doc, label) for label in labels)
    )
