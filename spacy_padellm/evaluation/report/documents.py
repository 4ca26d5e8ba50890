"""The documents with the most errors, rendered by displaCy: gold and predicted entities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from spacy import displacy
from spacy.tokens import Doc, Span

from ..outcome import Outcome
from .theme import LABEL_COLOURS

# The colours of spaCy's own template are unreadable on a dark page.
ENTITY = '<mark class="entity {state}" style="background: {bg}">{text}<span>{label}</span></mark>'
DOT = "\u00a0·\u00a0"  # with non-breaking spaces
RIGHT, MISSED, WRONG, NOT_JUDGED = "right", "missed", "wrong", "not judged"


def worst(outcomes: Sequence[Outcome], n: int) -> list[tuple[int, Outcome]]:
    """Select the documents with the most missed and wrong entities.

    outcomes (Sequence[Outcome]): One per document.
    n (int): Maximum number of documents.
    RETURNS (list[tuple[int, Outcome]]): Number of the document, from 1, and its outcome, by
        descending number of errors; without documents that have no errors.
    """
    numbered = [(i, outcome) for i, outcome in enumerate(outcomes, start=1) if outcome.n_errors]
    return sorted(numbered, key=lambda pair: -pair[1].n_errors)[:n]


def document_html(number: int, outcome: Outcome, labels: Sequence[str]) -> str:
    """Render one document: gold and predicted entities, wrong counts and unaligned mentions.

    number (int): Number of the document, from 1.
    outcome (Outcome): Outcome of the pipeline on it.
    labels (Sequence[str]): The component's labels.
    RETURNS (str): An HTML element.
    """
    example = outcome.example
    missed = set(outcome.missed)
    gold = [(ent, MISSED if ent in missed else RIGHT) for ent in outcome.gold]
    states = {True: RIGHT, False: WRONG, None: NOT_JUDGED}
    predicted = [(ent, states[outcome.is_right(ent)]) for ent in example.predicted.ents]
    notes = "".join(f"<li>{escape(note)}</li>" for note in _notes(outcome, labels))
    return (
        f"<article><h3>Document {number}: {len(missed)} missed, {len(outcome.wrong)} wrong</h3>"
        '<div class="columns">'
        f"<div><h4>Gold</h4>{_entities(example.reference, gold, labels)}</div>"
        f"<div><h4>Predicted</h4>{_entities(example.predicted, predicted, labels)}</div>"
        f"</div>{f'<ul>{notes}</ul>' if notes else ''}</article>"
    )


def _notes(outcome: Outcome, labels: Sequence[str]) -> Iterator[str]:
    for answer in outcome.counts(labels):
        if answer.predicted != answer.gold:
            yield f"{answer.label}: predicted count {answer.predicted}, gold count {answer.gold}"
    unaligned = Counter(
        (mention.label, mention.text, reason) for mention, reason in outcome.alignment.unaligned
    )
    for (label, text, reason), times in unaligned.items():
        repeated = f" ({times} times)" if times > 1 else ""
        yield f"{label}: “{text}” was not aligned to the text: {reason}{repeated}"


def _entities(doc: Doc, ents: Iterable[tuple[Span, str]], labels: Sequence[str]) -> str:
    """RETURNS (str): displaCy's markup. displaCy escapes the text, but not the labels."""
    parsed = {
        "text": doc.text,
        "ents": [
            {
                "start": ent.start_char,
                "end": ent.end_char,
                "label": escape(ent.label_ if state == RIGHT else f"{ent.label_}{DOT}{state}"),
                "params": {"state": state.replace(" ", "-"), "bg": _colour(ent.label_, labels)},
            }
            for ent, state in ents
        ],
        "settings": {"direction": doc.vocab.writing_system.get("direction", "ltr")},
    }
    return displacy.render(
        parsed, style="ent", manual=True, jupyter=False, options={"template": ENTITY}
    )


def _colour(label: str, labels: Sequence[str]) -> str:
    index = labels.index(label) if label in labels else len(labels)
    return LABEL_COLOURS[index % len(LABEL_COLOURS)]
