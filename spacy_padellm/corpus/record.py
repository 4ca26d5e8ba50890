"""A text with its gold spans, checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..pipeline.labels import check_labels


class BadRecord(ValueError):
    """A record that can't be used; the message says why."""


class GoldSpan(NamedTuple):
    """A gold mention: character offsets in the text, end exclusive, and its label."""

    start: int
    end: int
    label: str


@dataclass(frozen=True)
class Record:
    """A document of a corpus.

    text (str): Its text, not blank.
    spans (tuple[GoldSpan, ...]): Its mentions in the order given; they may overlap. None starts or
        ends with white space.
    labels (tuple[str, ...] | None): The labels it answers for (`labels.answers_for`), None for all.
    n_trimmed (int): Spans that started or ended with white space when they were given.
    unread (tuple[str, ...]): Keys of the source that say nothing to this package.
    """

    text: str
    spans: tuple[GoldSpan, ...]
    labels: tuple[str, ...] | None = None
    n_trimmed: int = 0
    unread: tuple[str, ...] = ()


def make_record(
    text: Any,
    spans: Iterable[tuple[Any, Any, Any]],
    labels: Any = None,
    unread: Iterable[str] = (),
) -> Record:
    """Check what a source says of a document.

    text (Any): Should be a string that is not blank.
    spans (Iterable[tuple[Any, Any, Any]]): Should be start and end character and label of each
        mention. White space at the edges of one is left out of it.
    labels (Any): Should be a list of the labels that the document answers for, or None.
    unread (Iterable[str]): Keys that were not read.
    RETURNS (Record): The document.
    RAISES (BadRecord): Anything else, naming the value.
    """
    _check_text(text)
    given = [GoldSpan(*span) for span in spans]
    trimmed = [_check_span(text, span) for span in given]
    answered = None if labels is None else _check_answered(labels, trimmed)
    n_trimmed = sum(old != new for old, new in zip(given, trimmed, strict=True))
    return Record(text, tuple(trimmed), answered, n_trimmed, tuple(unread))


def shown(value: Any) -> str:
    """RETURNS (str): A value for a message, cut to 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _check_text(text: Any) -> None:
    if not isinstance(text, str):
        raise BadRecord(f"the text must be a string, not {shown(text)}")
    if not text.strip():
        raise BadRecord("the text is blank")
    try:
        text.encode("utf8")
    except UnicodeEncodeError as error:
        raise BadRecord(f"the text holds half of a character at offset {error.start}") from error


def _check_span(text: str, span: GoldSpan) -> GoldSpan:
    start, end, label = span
    for name, offset in (("start", start), ("end", end)):
        if not isinstance(offset, int) or isinstance(offset, bool):
            raise BadRecord(f"the {name} of a span must be an integer, not {shown(offset)}")
    if label is None:
        raise BadRecord(f"the span from {start} to {end} has no label")
    try:
        check_labels([label])
    except ValueError as error:
        raise BadRecord(f"the span from {start} to {end}: {error}") from error
    if not 0 <= start < end <= len(text):
        raise BadRecord(
            f"the {label!r} span from {start} to {end} is not within the text, which has "
            f"{len(text)} characters"
        )
    mention = text[start:end]
    if not mention.strip():
        raise BadRecord(f"the {label!r} span from {start} to {end} covers white space only")
    start += len(mention) - len(mention.lstrip())
    return GoldSpan(start, start + len(mention.strip()), label)


def _check_answered(labels: Any, spans: Iterable[GoldSpan]) -> tuple[str, ...]:
    try:
        answered = tuple(check_labels(labels))
    except ValueError as error:
        raise BadRecord(f'"labels": {error}') from error
    if not answered:
        raise BadRecord('"labels" is empty, so the document answers for no label')
    for span in spans:
        if span.label not in answered:
            raise BadRecord(f'the label {span.label!r} of a span is not among "labels"')
    return answered
