"""Records of JSON values: objects with character spans, and the lists of the paper's authors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..documents.spans import CharSpan
from .record import BadRecord, Record, make_record, short_repr

OFFSETS = ("token", "char")
KEYS = ("text", "spans", "labels")
WORD = re.compile(r"\S+")


def span_record(value: Any) -> Record:
    """Make a record of `{"text": …, "spans": [{"start": …, "end": …, "label": …}]}`.

    A span may have a "text", which is compared with the document's. The list "labels" names the
    labels that the document is annotated for.

    value (Any): A JSON value.
    RETURNS (Record): The record.
    RAISES (BadRecord): A value of another form.
    """
    if not isinstance(value, dict):
        raise BadRecord(f'expected an object with "text" and "spans", not {short_repr(value)}')
    for key in ("text", "spans"):
        if key not in value:
            raise BadRecord(f'there is no "{key}" in {short_repr(value)}')
    text, spans = value["text"], value["spans"]
    if not isinstance(spans, list):
        raise BadRecord(f'"spans" must be a list, not {short_repr(spans)}')
    triples = []
    for span in spans:
        if not isinstance(span, dict) or "start" not in span or "end" not in span:
            raise BadRecord(
                f'a span must be an object with "start" and "end", not {short_repr(span)}'
            )
        triples.append((span["start"], span["end"], span.get("label")))
    record = make_record(text, triples, value.get("labels"), sorted(value.keys() - KEYS))
    for span in spans:
        if "text" in span:
            _check_mention(text[span["start"] : span["end"]], span["text"])
    return record


def list_record(value: Any, offsets: str = "token", exclusive_end: bool = False) -> Record:
    """Make a record of `["text", [start, end, "mention", "LABEL"], …]`.

    This is the form of the data that the paper's authors published (arXiv 2402.04838): English
    texts with offsets of words between white space, Chinese texts with offsets of characters, both
    with inclusive ends. Their GENIA files have exclusive ends.

    value (Any): A JSON value.
    offsets (str): Unit of start and end: "token" (words between white space) or "char".
    exclusive_end (bool): Whether the ends are exclusive.
    RETURNS (Record): The record.
    RAISES (BadRecord): A value of another form; a mention that differs from the text at its
        offsets.
    """
    if not isinstance(value, list) or not value:
        raise BadRecord(f"expected a list of a text and its mentions, not {short_repr(value)}")
    text, mentions = value[0], value[1:]
    if not isinstance(text, str):
        raise BadRecord(f"the text must be a string, not {short_repr(text)}")
    words = [match.span() for match in WORD.finditer(text)] if offsets == "token" else None

    def char_span(start: int, end: int) -> CharSpan | None:
        """RETURNS (CharSpan | None): Character offsets of a span, end exclusive; None where
        the span is not within the text."""
        length = len(text) if words is None else len(words)
        if not 0 <= start < end <= length:
            return None
        return (start, end) if words is None else (words[start][0], words[end - 1][1])

    return make_record(
        text, [_list_span(mention, text, char_span, offsets, exclusive_end) for mention in mentions]
    )


def _list_span(
    mention: Any,
    text: str,
    char_span: Callable[[int, int], CharSpan | None],
    offsets: str,
    exclusive_end: bool,
) -> tuple[int, int, Any]:
    if not isinstance(mention, list) or len(mention) != 4:
        raise BadRecord(f"a mention must be [start, end, string, label], not {short_repr(mention)}")
    start, end, string, label = mention
    for offset in (start, end):
        if not isinstance(offset, int) or isinstance(offset, bool):
            raise BadRecord(f"an offset must be an integer, not {short_repr(offset)}")
    span = char_span(start, end if exclusive_end else end + 1)
    other_span = char_span(start, end + 1 if exclusive_end else end)
    hint = ""
    if other_span is not None and _is_same(text[slice(*other_span)], string):
        hint = f" (it fits {'without' if exclusive_end else 'with'} --exclusive-end)"
    if span is None:
        raise BadRecord(
            f"the span {short_repr(mention)} is not within the text, counted in {offsets}s{hint}"
        )
    _check_mention(text[slice(*span)], string, hint)
    return (*span, label)


def _check_mention(text: str, mention: Any, hint: str = "") -> None:
    """Compare the text at a mention's offsets with the string given for the mention."""
    if not _is_same(text, mention):
        raise BadRecord(
            f"the mention is {short_repr(mention)}, and the text has {short_repr(text)}{hint}"
        )


def _is_same(text: str, mention: Any) -> bool:
    # Offsets of words leave the white space between them open.
    return isinstance(mention, str) and (mention == text or mention.split() == text.split() != [])
