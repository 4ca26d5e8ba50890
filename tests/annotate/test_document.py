"""Parsing of items, and records as JSON."""

import json
from datetime import date
from decimal import Decimal

import pytest

from spacy_padellm.annotate.document import check_key_unused, read_document, source_of, with_key
from spacy_padellm.annotate.items import Item
from spacy_padellm.corpus.record import BadRecord


def item(content, kind="jsonl"):
    return Item(0, 1, kind, content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "not JSON"),
        (b"[1]", "expected an object, not \\[1\\]"),
        (b'{"other": "a"}', "there is no 'text' in"),
        (b'{"text": null}', "'text' must be a string, not None"),
        (b'{"text": 3}', "'text' must be a string, not 3"),
        (b'{"text": "\xff"}', "not UTF-8"),
        (b"[" * 100_000, "not JSON"),
        (BadRecord("no Doc"), "no Doc"),
    ],
)
def test_no_text(content, reason):
    with pytest.raises(BadRecord, match=reason):
        read_document(item(content), "text")


def test_a_line_keeps_every_character():
    line = '  {"n": 1.10, "big": 12345678901234567890.0, "text" : "\\u0041da", "x": "\\ud800" } '
    document = read_document(item(line.encode()), "text")
    assert document.text == "Ada"
    assert document.rest == {"n": 1.1, "big": 12345678901234567890.0, "x": "\ud800"}
    done = with_key(document.line, "entities", [{"label": "é"}])
    assert done == line.strip()[:-1].rstrip() + ', "entities": [{"label": "é"}]}'
    assert json.loads(done)["entities"] == [{"label": "é"}]


def test_plain_text_and_another_key():
    document = read_document(item("Zoë\t".encode(), "txt"), "content")
    assert (document.text, json.loads(document.line), document.rest) == (
        "Zoë\t",
        {"content": "Zoë\t"},
        {},
    )
    document = read_document(item(b'{"text": 1, "content": "a"}'), "content")
    assert (document.text, document.rest) == ("a", {"text": 1})


def test_rows_of_a_table():
    row = {
        "day": date(2020, 2, 29),
        "text": "a",
        "price": Decimal("1.10"),
        "nan": float("nan"),
        "deep": [{"n": None, "t": (1, True)}],
    }
    document = read_document(item(row, "parquet"), "text")
    rest = {
        "day": "2020-02-29",
        "price": "1.10",
        "nan": None,
        "deep": [{"n": None, "t": [1, True]}],
    }
    assert document.rest == rest
    assert json.loads(document.line) == {**rest, "text": "a"}
    assert list(json.loads(document.line)) == list(row)
    with pytest.raises(BadRecord, match="JSON has no value for b'x'"):
        read_document(item({"text": "a", "raw": b"x"}, "parquet"), "text")


def test_used_key():
    document = read_document(item(b'{"text": "a", "entities": []}'), "text")
    check_key_unused(document, "found")
    with pytest.raises(BadRecord, match="--entities-key"):
        check_key_unused(document, "entities")


def test_source():
    assert source_of(item(b'{"text": "\xff"')) == '{"text": "\\xff"'
    assert source_of(item(b"line", "txt")) is None
