"""Parse items into documents, and write a document's record as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..corpus.lines import parse_json
from ..corpus.record import BadRecord, short_repr
from .items import JSONL, TXT, Item


@dataclass(frozen=True)
class Document:
    """A document to annotate.

    text (str): Its text.
    doc (bytes | None): The serialized Doc of a .spacy file; None for other kinds of input.
    line (str): Its record as JSON, an object of at least one key.
    rest (dict[str, Any]): Keys and values of the record, without the text.
    """

    text: str
    doc: bytes | None
    line: str
    rest: dict[str, Any]


def read_document(item: Item, text_key: str) -> Document:
    """Parse an item.

    item (Item): The item.
    text_key (str): Key of the text in its record.
    RETURNS (Document): Its text and record.
    RAISES (BadRecord): The item has no readable text; the message names the reason.
    """
    content = item.content
    if isinstance(content, BadRecord):
        raise content
    if isinstance(content, tuple):
        text, doc = content
        return Document(text, doc, _line({text_key: text}), {})
    if isinstance(content, dict):
        rest = {key: _plain(value) for key, value in content.items() if key != text_key}
        text = _text(content, text_key)
        return Document(text, None, _line({key: rest.get(key, text) for key in content}), rest)
    try:
        line = content.decode("utf8")
    except UnicodeDecodeError as error:
        raise BadRecord(f"not UTF-8: {error.reason} at byte {error.start}") from error
    if item.kind == TXT:
        return Document(line, None, _line({text_key: line}), {})
    record = parse_json(line)
    if isinstance(record, BadRecord):
        raise record
    if not isinstance(record, dict):
        raise BadRecord(f"expected an object, not {short_repr(record)}")
    text = _text(record, text_key)
    return Document(text, None, line.strip(), {k: v for k, v in record.items() if k != text_key})


def check_key_unused(document: Document, key: str) -> None:
    """Check that a new key does not overwrite one of a record.

    document (Document): The document.
    key (str): The new key.
    RAISES (BadRecord): The record has the key already.
    """
    if key in document.rest:
        raise BadRecord(f"it has the key {key!r} already: give another --entities-key")


def with_key(line: str, key: str, value: Any) -> str:
    """Append a key to a JSON object without changing a character of the rest.

    line (str): The object, of at least one key.
    key (str): A key that it does not have.
    value (Any): The value of the key.
    RETURNS (str): The object with the key at its end.
    """
    added = _line({key: value})
    return f"{line.removesuffix('}').rstrip()}, {added.removeprefix('{')}"


def source_of(item: Item) -> str | None:
    """RETURNS (str | None): The line of a JSONL item as in its file, with bytes that are not UTF-8
    as escapes; None for other kinds."""
    if item.kind != JSONL or not isinstance(item.content, bytes):
        return None
    return item.content.decode("utf8", errors="backslashreplace")


def _text(record: dict[str, Any], key: str) -> str:
    if key not in record:
        raise BadRecord(f"there is no {key!r} in {short_repr(record)}")
    if not isinstance(record[key], str):
        raise BadRecord(f"{key!r} must be a string, not {short_repr(record[key])}")
    return record[key]


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """Convert a table value to JSON: times to ISO 8601, decimals to strings, NaN to null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Decimal):
        return str(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if value is None or isinstance(value, str | int | float):
        return value
    raise BadRecord(f"JSON has no value for {short_repr(value)}: leave its column out of the file")
