"""Whole runs: new, continued, refused and interrupted."""

import errno
import json
import os
import shutil
from dataclasses import replace

import pytest
import spacy
from spacy.tokens import DocBin
from support.annotate_files import contents, errors, records, write_jsonl

from spacy_padellm.annotate.job import Job
from spacy_padellm.annotate.output import Output, Refused
from spacy_padellm.annotate.run import annotate_files

pytest_plugins = ["support.annotate_fixtures"]
TEXTS = [f"Ada left Rome, {i} times" for i in range(10)]


@pytest.fixture
def source(tmp_path):
    return write_jsonl(tmp_path / "source.jsonl", TEXTS, keep="me")


@pytest.fixture
def job(ruler):
    return Job(str(ruler), shard_size=4, batch_size=3)


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


@pytest.mark.parametrize("change", ["input", "inputs", "pipeline", "setting", "code"])
def test_other_inputs_or_settings_are_refused(job, source, tmp_path, change, ruler):
    annotate_files(job, [source], tmp_path / "out")
    before = contents(tmp_path / "out")
    sources, named = [source], change
    if change == "input":
        write_jsonl(source, [*TEXTS[:-1], "another"])
        named = "input 1: it was .*source.jsonl.*now it is"
    elif change == "inputs":
        sources.append(write_jsonl(tmp_path / "more.jsonl", ["more"]))
        named = "files were 1,.*now they are 2,"
    elif change == "pipeline":
        other = shutil.copytree(ruler, tmp_path / "pipeline")
        path = other / "entity_ruler/patterns.jsonl"
        path.write_text(path.read_text().replace("Ada", "Eva"))
        job = replace(job, pipeline=str(other))
    elif change == "setting":
        job = replace(job, batch_size=5)
        named = "--batch-size: it was 3, now it is 5"
    else:
        job = replace(job, code=write_jsonl(tmp_path / "code.py", []))
        named = "pipeline"
    with pytest.raises(Refused, match=f"(?s)begun with something else.*{named}"):
        annotate_files(job, sources, tmp_path / "out")
    assert contents(tmp_path / "out") == before


def test_a_copy_of_the_pipeline_is_the_same(job, source, tmp_path, ruler):
    annotate_files(job, [source], tmp_path / "out")
    other = shutil.copytree(ruler, tmp_path / "pipeline")
    annotate_files(replace(job, pipeline=str(other)), [source], tmp_path / "out")


def test_folders_that_are_refused(job, source, tmp_path):
    file, other, headless = tmp_path / "file", tmp_path / "other", tmp_path / "headless"
    file.touch()
    other.mkdir()
    (other / "thesis.txt").touch()
    annotate_files(job, [source], headless)
    (headless / "manifest.json").unlink()
    for output, reason in [(file, "is a file"), (other, "thesis.txt"), (headless, "other things")]:
        with pytest.raises(Refused, match=reason):
            annotate_files(job, [source], output)
    assert (headless / "documents/000000.jsonl").exists()


def test_locked_folder_is_refused(job, source, tmp_path):
    with Output(tmp_path / "out", "jsonl"), pytest.raises(Refused, match="Another process"):
        annotate_files(job, [source], tmp_path / "out")
    annotate_files(job, [source], tmp_path / "out")


def test_damaged_output_is_refused(job, source, tmp_path):
    write_jsonl(source, [*TEXTS, "FAIL"])
    annotate_files(job, [source], tmp_path / "out")
    for name in ("documents/000001.jsonl", "errors.jsonl"):
        path = tmp_path / "out" / name
        data = path.read_bytes()
        path.write_bytes(data[:-1])
        with pytest.raises(Refused, match=f"{path.name} should have {len(data)} bytes"):
            annotate_files(job, [source], tmp_path / "out")
        path.write_bytes(data)
    annotate_files(job, [source], tmp_path / "out")


@pytest.mark.parametrize("torn", [b'{"number": 2, "fi', b"\0" * 64, b'{"number": 2}\n'])
def test_power_loss_while_the_journal_is_written(job, source, tmp_path, torn):
    """An incomplete line and everything after it are ignored."""
    write_jsonl(source, [*TEXTS, "FAIL", "end"])
    out = tmp_path / "out"
    annotate_files(job, [source], out)
    expected = contents(out)
    journal = out / "progress.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(True)[:2]) + torn)
    (out / "documents/000002.jsonl").write_bytes(b"half")
    (out / "documents/.000002.jsonl.tmp").write_bytes(b"half")
    (out / ".manifest.json.tmp").write_bytes(b"half")
    (out / "errors.jsonl").write_bytes(b"of the shard that is not done")
    report = annotate_files(job, [source], out)
    assert report.before == 8
    assert contents(out) == expected


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
