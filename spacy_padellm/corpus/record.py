"""A text with its gold spans, validated."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..pipeline.labels import check_labels


class BadRecord(ValueError):
    """A record that can't be used; the message has the reason."""


class GoldSpan(NamedTuple):
    """A gold mention: start and end character, end exclusive, and label."""

    start: int
    end: int
    label: str


@dataclass(frozen=True)
class Record:
    """A document of a corpus.

    text (str): The text, not blank.
    spans (tuple[GoldSpan, ...]): The mentions, in the order of the source; they may overlap. None
        starts or ends with white space.
    labels (tuple[str, ...] | None): The labels that the document is annotated for, None for all.
    n_trimmed (int): Spans of which white space at the edges was removed.
    ignored_keys (tuple[str, ...]): Keys of the source that are not used.
    """

    text: str
    spans: tuple[GoldSpan, ...]
    labels: tuple[str, ...] | None = None
    n_trimmed: int = 0
    ignored_keys: tuple[str, ...] = ()


def make_record(
    text: Any,
    spans: Iterable[tuple[Any, Any, Any]],
    labels: Any = None,
    ignored_keys: Iterable[str] = (),
) -> Record:
    """Validate the parts of a document. White space at the edges of mentions is removed.

    text (Any): A string that is not blank.
    spans (Iterable[tuple[Any, Any, Any]]): Start and end character and label of each mention.
    labels (Any): A list of the labels that the document is annotated for; None for all.
    ignored_keys (Iterable[str]): Keys of the source that are not used.
    RETURNS (Record): The document.
    RAISES (BadRecord): A value of another type or out of range.
    """
    _check_text(text)
    given = [GoldSpan(*span) for span in spans]
    trimmed = [_check_span(text, span) for span in given]
    annotated = None if labels is None else _check_labels(labels, trimmed)
    n_trimmed = sum(old != new for old, new in zip(given, trimmed, strict=True))
    return Record(text, tuple(trimmed), annotated, n_trimmed, tuple(ignored_keys))


def short_repr(value: Any) -> str:
    """RETURNS (str): The repr of a value, truncated to 60 characters, for messages."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _check_text(text: Any) -> None:
    if not isinstance(text, str):
        raise BadRecord(f"the text must be a string, not {short_repr(text)}")
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
            raise BadRecord(f"the {name} of a span must be an integer, not {short_repr(offset)}")
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


def _check_labels(labels: Any, spans: Iterable[GoldSpan]) -> tuple[str, ...]:
    try:
        annotated = tuple(check_labels(labels))
    except ValueError as error:
        raise BadRecord(f'"labels": {error}') from error
    if not annotated:
        raise BadRecord('"labels" is empty, so the document is annotated for no label')
    for span in spans:
        if span.label not in annotated:
            raise BadRecord(f'the label {span.label!r} of a span is not among "labels"')
    return annotated
