"""Unparsed documents of each kind of file."""

import gzip
import zlib

import pytest
import spacy
import srsly
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from spacy_padellm.annotate.items import Item, UnreadableInput, count_items, kind_of, read_items
from spacy_padellm.corpus.record import BadRecord


def contents(path):
    items = list(read_items(path))
    assert len(items) == count_items(path)
    return [(item.number, item.content) for item in items]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.jsonl", "jsonl"),
        ("a.JSONL.GZ", "jsonl"),
        ("a.txt", "txt"),
        ("a.txt.gz", "txt"),
        ("a.spacy", "spacy"),
        ("a.spacy.gz", "spacy"),
        ("a.parquet", "parquet"),
        ("a.parquet.gz", None),
        ("a.gz", None),
        ("a.json", None),
        ("jsonl", None),
    ],
)
def test_kinds(tmp_path, name, kind):
    assert kind_of(tmp_path / name) == kind


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_lines(tmp_path, suffix):
    """Blank lines are documents of plain text, and are skipped in JSONL."""
    data = b"\xef\xbb\xbfone\r\n\ntwo\x0b\xe2\x80\xa8more\n \n\xff"
    for kind in ("txt", "jsonl"):
        path = tmp_path / f"a.{kind}{suffix}"
        path.write_bytes(gzip.compress(data) if suffix else data)
    lines = [(1, b"one"), (2, b""), (3, b"two\x0b\xe2\x80\xa8more"), (4, b" "), (5, b"\xff")]
    assert contents(tmp_path / f"a.txt{suffix}") == lines
    assert contents(tmp_path / f"a.jsonl{suffix}") == [lines[0], lines[2], lines[4]]


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.txt.gz"])
def test_empty_file(tmp_path, name):
    (tmp_path / name).write_bytes(gzip.compress(b"") if name.endswith("gz") else b"")
    assert contents(tmp_path / name) == []


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.txt.gz", "a.spacy", "a.spacy.gz"])
def test_damaged(tmp_path, name):
    whole = gzip.compress(b"".join(b"%d\n" % i for i in range(100_000)))
    for data in (whole[: len(whole) // 2], b"no such thing"):
        (tmp_path / name).write_bytes(data)
        for read in (count_items, lambda path: list(read_items(path))):
            with pytest.raises(UnreadableInput, match=name):
                read(tmp_path / name)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_docs(tmp_path, suffix):
    nlp = spacy.blank("en")
    docs = [nlp("Ada left."), nlp(""), Doc(nlp.vocab, ["没", "有"])]
    docs[0].ents = [docs[0].char_span(0, 3, label="odd label")]
    docs[0].user_data["key"] = ["value"]
    data = DocBin(docs=docs, store_user_data=True).to_bytes()
    path = tmp_path / f"a.spacy{suffix}"
    path.write_bytes(gzip.compress(data) if suffix else data)
    found = contents(path)
    assert [number for number, _ in found] == [1, 2, 3]
    assert [text for _, (text, _) in found] == ["Ada left.", "", "没 有 "]
    doc = Doc(Vocab()).from_bytes(found[0][1][1])
    assert [(ent.text, ent.label_) for ent in doc.ents] == [("Ada", "odd label")]
    assert doc.user_data["key"] == ["value"]


def test_a_doc_that_is_damaged_leaves_the_others(tmp_path):
    nlp = spacy.blank("en")
    path = tmp_path / "a.spacy"
    DocBin(docs=[nlp(text) for text in "abcd"]).to_disk(path)
    message = srsly.msgpack_loads(zlib.decompress(path.read_bytes()))
    message["span_groups"][1] = b"no span groups"
    path.write_bytes(zlib.compress(srsly.msgpack_dumps(message)))
    found = [content for _, content in contents(path)]
    assert [content[0] for content in found if isinstance(content, tuple)] == ["a", "c", "d"]
    assert isinstance(found[1], BadRecord)
    assert "no Doc that can be read" in str(found[1])


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow", reason="needs pyarrow, the extra 'parquet'")
    import pyarrow
    import pyarrow.parquet

    rows = [{"id": i, "text": f"text {i}", "more": [i, None]} for i in range(600)]
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    found = contents(path)
    assert [number for number, _ in found] == list(range(1, 601))
    assert [content for _, content in found] == rows
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UnreadableInput, match="a.parquet"):
        count_items(path)


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"spacy-padellm\[parquet\]"):
        count_items(tmp_path / "a.parquet")


def test_sizes():
    assert Item(0, 1, "txt", b"four").size == 4
    assert Item(0, 1, "parquet", {"text": "four", "number": 7}).size == 4
    assert Item(0, 1, "spacy", ("text", b"bytes")).size == 5
