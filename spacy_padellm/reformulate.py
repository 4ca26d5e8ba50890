"""Gold documents into prompt trees with targets (PaDeLLM-NER, arXiv 2402.04838, section 3.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from spacy.tokens import Doc
from spacy.training import Example

from .labels import answers_for
from .tree import PromptTree
from .tree_builder import TreeBuilder


def gold_mentions(doc: Doc, labels: Sequence[str]) -> dict[str, list[str]]:
    """The answers that a gold document gives, for the labels it answers for (`answers_for`).

    doc (Doc): A document with gold entities.
    labels (Sequence[str]): The component's labels.
    RETURNS (dict[str, list[str]]): For each label asked for, its mentions in reading order.
    """
    mentions: dict[str, list[str]] = {label: [] for label in labels if answers_for(doc, label)}
    for ent in sorted(doc.ents, key=lambda ent: (ent.start_char, ent.end_char)):
        if ent.label_ in mentions:
            mentions[ent.label_].append(ent.text)
    return mentions


def reformulate(
    examples: Iterable[Example], labels: Sequence[str], builder: TreeBuilder
) -> list[PromptTree]:
    """Gold trees: all count prompts and mention prompts of a document, once each.

    examples (Iterable[Example]): Their references hold the gold entities. An example whose
        reference has tokens without entity annotation, or whose text is blank, gives no tree: a
        count over a part of the document would be wrong.
    labels (Sequence[str]): The labels to ask for.
    builder (TreeBuilder): Writes the prompts.
    RETURNS (list[PromptTree]): One tree a usable example.
    RAISES (ValueError): A text that is longer than the model's window.
    """
    docs = [
        eg.reference
        for eg in examples
        if eg.reference.has_annotation("ENT_IOB", require_complete=True)
        and eg.reference.text.strip()
    ]
    answers = [gold_mentions(doc, labels) for doc in docs]
    usable = [i for i, answer in enumerate(answers) if answer]
    return builder.answer([docs[i].text for i in usable], [answers[i] for i in usable])
