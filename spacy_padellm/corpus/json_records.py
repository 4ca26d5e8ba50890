"""JSON values into records: objects with character spans, and the lists of the paper's authors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .record import BadRecord, Record, make_record, shown

OFFSETS = ("token", "char")
KEYS = ("text", "spans", "labels")
WORD = re.compile(r"\S+")


def span_record(value: Any) -> Record:
    """A record out of `{"text": …, "spans": [{"start": …, "end": …, "label": …}]}`.

    A span may say its own "text", which must then be the document's. "labels", a list, names the
    labels that the document answers for.

    value (Any): A JSON value.
    RETURNS (Record): The record.
    RAISES (BadRecord): Any other value.
    """
    if not isinstance(value, dict):
        raise BadRecord(f'expected an object with "text" and "spans", not {shown(value)}')
    for key in ("text", "spans"):
        if key not in value:
            raise BadRecord(f'there is no "{key}" in {shown(value)}')
    text, spans = value["text"], value["spans"]
    if not isinstance(spans, list):
        raise BadRecord(f'"spans" must be a list, not {shown(spans)}')
    triples = []
    for span in spans:
        if not isinstance(span, dict) or "start" not in span or "end" not in span:
            raise BadRecord(f'a span must be an object with "start" and "end", not {shown(span)}')
        triples.append((span["start"], span["end"], span.get("label")))
    record = make_record(text, triples, value.get("labels"), sorted(value.keys() - KEYS))
    for span in spans:
        if "text" in span:
            _check_mention(text[span["start"] : span["end"]], span["text"])
    return record


def list_record(value: Any, offsets: str = "token", exclusive_end: bool = False) -> Record:
    """A record out of `["text", [start, end, "mention", "LABEL"], …]`.

    That is the form of the data that the paper's authors published (arXiv 2402.04838): English
    texts with offsets of words between white space, Chinese ones with offsets of characters, ends
    inclusive. Their GENIA files have exclusive ends.

    value (Any): A JSON value.
    offsets (str): What start and end count: "token" (words between white space) or "char".
    exclusive_end (bool): Whether the end is the first one after the mention.
    RETURNS (Record): The record.
    RAISES (BadRecord): Any other value; a mention that differs from the text at its place.
    """
    if not isinstance(value, list) or not value:
        raise BadRecord(f"expected a list of a text and its mentions, not {shown(value)}")
    text, mentions = value[0], value[1:]
    if not isinstance(text, str):
        raise BadRecord(f"the text must be a string, not {shown(text)}")
    places = [match.span() for match in WORD.finditer(text)] if offsets == "token" else None

    def place(start: int, end: int) -> tuple[int, int] | None:
        """RETURNS (tuple[int, int] | None): Character offsets, end exclusive; None outside."""
        length = len(text) if places is None else len(places)
        if not 0 <= start < end <= length:
            return None
        return (start, end) if places is None else (places[start][0], places[end - 1][1])

    return make_record(
        text, [_list_span(mention, text, place, offsets, exclusive_end) for mention in mentions]
    )


def _list_span(
    mention: Any,
    text: str,
    place: Callable[[int, int], tuple[int, int] | None],
    offsets: str,
    exclusive_end: bool,
) -> tuple[int, int, Any]:
    if not isinstance(mention, list) or len(mention) != 4:
        raise BadRecord(f"a mention must be [start, end, string, label], not {shown(mention)}")
    start, end, string, label = mention
    for offset in (start, end):
        if not isinstance(offset, int) or isinstance(offset, bool):
            raise BadRecord(f"an offset must be an integer, not {shown(offset)}")
    found = place(start, end if exclusive_end else end + 1)
    other = place(start, end + 1 if exclusive_end else end)
    hint = ""
    if other is not None and _same(text[slice(*other)], string):
        hint = f" (it fits {'without' if exclusive_end else 'with'} --exclusive-end)"
    if found is None:
        raise BadRecord(
            f"the span {shown(mention)} is not within the text, counted in {offsets}s{hint}"
        )
    _check_mention(text[slice(*found)], string, hint)
    return (*found, label)


def _check_mention(there: str, said: Any, hint: str = "") -> None:
    if not _same(there, said):
        raise BadRecord(f"the mention is {shown(said)}, and the text has {shown(there)}{hint}")


def _same(there: str, said: Any) -> bool:
    # Words between white space say nothing of how much of it there is.
    return isinstance(said, str) and (said == there or said.split() == there.split() != [])
