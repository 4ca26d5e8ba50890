"""What a gold document says: the labels it answers for, and their spans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from spacy.tokens import Doc
from spacy.training import Example

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


def usable_golds(examples: Iterable[Example], labels: Sequence[str]) -> list[Gold]:
    """The gold answers that a model can be trained on.

    examples (Iterable[Example]): Their references hold the gold entities. An example whose
        reference has tokens without entity annotation, or whose text is blank, gives none: a
        count over a part of the document would be wrong.
    labels (Sequence[str]): The labels to ask for.
    RETURNS (list[Gold]): One a usable example.
    """
    docs = [
        eg.reference
        for eg in examples
        if eg.reference.has_annotation("ENT_IOB", require_complete=True)
        and eg.reference.text.strip()
    ]
    return [gold for doc in docs if (gold := gold_of(doc, labels)).labels]
