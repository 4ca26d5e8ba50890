"""Whole runs: new, continued, refused and interrupted."""

import errno
import json
import os
import shutil
from dataclasses import replace

import pytest
import spacy
from spacy.tokens import DocBin
from support.annotate_files import TEXTS, contents, errors, records, write_jsonl

from spacy_padellm.annotate.run import annotate_files

pytest_plugins = ["support.annotate_fixtures"]


def test_all_inputs_in_their_order(job, tmp_path):
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    write_jsonl(folder / "b.jsonl", ["Ada", "FAIL"])
    (folder / "a.txt").write_text("Rome\n\n", encoding="utf8")
    (folder / "notes.md").write_text("no documents")
    nlp = spacy.blank("en")
    DocBin(docs=[nlp("Bo")]).to_disk(folder / "deep/c.spacy")
    last = write_jsonl(tmp_path / "last.jsonl", ["end"])
    warnings = []
    report = annotate_files(job, [folder, last], tmp_path / "out", on_warning=warnings.append)
    assert [record["text"] for record in records(tmp_path / "out")] == [
        "Rome",
        "",
        "Ada",
        "Bo",
        "end",
    ]
    assert (report.documents, report.annotated, report.failed, report.shards) == (6, 5, 1, 2)
    (error,) = errors(tmp_path / "out")
    assert error["input"] == str(folder / "b.jsonl")
    assert (error["number"], error["text"]) == (2, "FAIL")
    assert json.loads(error["source"]) == {"id": 1, "text": "FAIL"}
    assert "notes.md" in warnings[0]


def test_finished_run_changes_nothing(job, source, tmp_path):
    annotate_files(job, [source], tmp_path / "out")
    before = contents(tmp_path / "out")
    moved = shutil.move(source, tmp_path / "moved.jsonl")
    report = annotate_files(job, [moved], tmp_path / "out")
    assert report.before == report.documents == 10
    assert contents(tmp_path / "out") == before
    assert all(record["keep"] == "me" for record in records(tmp_path / "out"))


@pytest.mark.parametrize("step", [6, 8, 9, 12])
def test_full_disk(job, source, tmp_path, monkeypatch, step):
    write_jsonl(source, ["FAIL", *TEXTS])
    annotate_files(job, [source], tmp_path / "whole")
    fsync, remaining = os.fsync, step

    def full(descriptor):
        nonlocal remaining
        remaining -= 1
        if remaining <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        annotate_files(job, [source], tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.tmp"))
    monkeypatch.undo()
    annotate_files(job, [source], tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_files_without_a_document(job, tmp_path):
    """Empty input; a batch and a shard of failed documents only."""
    job = replace(job, format="spacy")
    empty = tmp_path / "empty.txt"
    empty.touch()
    report = annotate_files(job, [empty], tmp_path / "nothing")
    assert report.finished
    assert not report.documents
    source = write_jsonl(tmp_path / "a.jsonl", ["FAIL"] * 4 + ["Ada", "FAIL", "FAIL", "Bo"])
    report = annotate_files(job, [source], tmp_path / "out")
    assert (report.annotated, report.failed) == (2, 6)
    files = [tmp_path / f"out/documents/00000{i}.spacy" for i in range(2)]
    vocab = spacy.blank("en").vocab
    docs = [[doc.text for doc in DocBin().from_disk(file).get_docs(vocab)] for file in files]
    assert docs == [[], ["Ada", "Bo"]]


def test_used_key_of_entities(job, source, tmp_path):
    write_jsonl(source, TEXTS, entities=[])
    with pytest.raises(ValueError, match="--entities-key"):
        annotate_files(job, [source], tmp_path / "out")
    annotate_files(replace(job, entities_key="found"), [source], tmp_path / "other")
    assert all(
        record["entities"] == [] and record["found"] for record in records(tmp_path / "other")
    )
    write_jsonl(source, TEXTS)
    with source.open("a") as file:
        file.write('{"text": "a", "entities": 1}\n')
    report = annotate_files(job, [source], tmp_path / "third")
    assert (report.annotated, report.failed) == (10, 1)
    assert "--entities-key" in errors(tmp_path / "third")[0]["reason"]
