"""What an item says, and the record that is made of it."""

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
    doc (bytes | None): Its Doc, where it came as one.
    line (str): Its record as JSON, an object of one key at least.
    rest (dict): What the record has beside the text.
    """

    text: str
    doc: bytes | None
    line: str
    rest: dict[str, Any]


def read_document(item: Item, text_key: str) -> Document:
    """Look into an item.

    item (Item): The item.
    text_key (str): Key of the text in its record.
    RETURNS (Document): What it says.
    RAISES (BadRecord): An item that says no text; the message tells why.
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


def check_free(one: Document, key: str) -> None:
    """See to it that nothing of a record is overwritten.

    one (Document): The document.
    key (str): Key that its record is to get.
    RAISES (BadRecord): A record that has it.
    """
    if key in one.rest:
        raise BadRecord(f"it has the key {key!r} already: give another --entities-key")


def with_key(line: str, key: str, value: Any) -> str:
    """Add a key to an object of JSON; what is there stays as it is, character for character.

    line (str): The object, of one key at least.
    key (str): A key that it does not have.
    value (Any): The key's value.
    RETURNS (str): The object with the key at its end.
    """
    added = _line({key: value})
    return f"{line.removesuffix('}').rstrip()}, {added.removeprefix('{')}"


def source_of(item: Item) -> str | None:
    """RETURNS (str | None): A line of JSON as it stands in its file, with what is not UTF-8 as
    escapes; None of other kinds."""
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
    """A value of a table as JSON has it: times in ISO 8601, decimals as strings, NaN as null."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Decimal):
        return str(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if value is None or isinstance(value, str | int | float):
        return value
    raise BadRecord(f"JSON has no value for {short_repr(value)}: leave its column out of the file")
