"""The worst documents by displaCy, gold beside predicted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from spacy import displacy
from spacy.tokens import Doc, Span

from ..outcome import Outcome
from .theme import LABEL_COLOURS

# spaCy's template puts its own colours on the text, which a dark page makes unreadable.
ENTITY = '<mark class="entity {state}" style="background: {bg}">{text}<span>{label}</span></mark>'
DOT = "\u00a0·\u00a0"  # between spaces that a line does not break at
RIGHT, MISSED, WRONG, NOT_JUDGED = "right", "missed", "wrong", "not judged"


def worst(outcomes: Sequence[Outcome], n: int) -> list[tuple[int, Outcome]]:
    """RETURNS (list[tuple[int, Outcome]]): The documents with the most missed and wrong entities,
    most first, each with its number from 1; none without errors.

    outcomes (Sequence[Outcome]): One a document.
    n (int): How many at most.
    """
    numbered = [(i, one) for i, one in enumerate(outcomes, start=1) if one.n_errors]
    return sorted(numbered, key=lambda pair: -pair[1].n_errors)[:n]


def document_html(number: int, outcome: Outcome, labels: Sequence[str]) -> str:
    """RETURNS (str): HTML of one document: its entities and what went wrong.

    number (int): Its number.
    outcome (Outcome): What the pipeline made of it.
    labels (Sequence[str]): The component's labels.
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
        if answer.said != answer.gold:
            yield f"{answer.label}: the model says {answer.said}, gold has {answer.gold}"
    lost = Counter((one.label, one.text, why) for one, why in outcome.alignment.unaligned)
    for (label, text, reason), times in lost.items():
        often = f" ({times} times)" if times > 1 else ""
        yield f"{label}: “{text}” has no place: {reason}{often}"


def _entities(doc: Doc, ents: Iterable[tuple[Span, str]], labels: Sequence[str]) -> str:
    """RETURNS (str): displaCy's markup. It escapes the text, but not the labels."""
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
    place = labels.index(label) if label in labels else len(labels)
    return LABEL_COLOURS[place % len(LABEL_COLOURS)]
