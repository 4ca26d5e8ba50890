"""Runs that go on, and runs that are refused."""

import errno
import json
import os
import shutil
from dataclasses import replace

import pytest
import spacy
from spacy.tokens import DocBin
from support.annotate_files import contents, errors, records, write_jsonl

from spacy_padellm.annotate.inputs import ChangedInput, Input, find_files, look_at, read_from
from spacy_padellm.annotate.items import Item
from spacy_padellm.annotate.job import Job
from spacy_padellm.annotate.output import Output, Refused
from spacy_padellm.annotate.run import annotate_files, make_batches

pytest_plugins = ["support.annotate_fixtures"]
TEXTS = [f"Ada left Rome, {i} times" for i in range(10)]


@pytest.fixture
def source(tmp_path):
    return write_jsonl(tmp_path / "source.jsonl", TEXTS, keep="me")


@pytest.fixture
def job(ruler):
    return Job(str(ruler), shard_size=4, batch_size=3)


def sizes(batches):
    return [(len(batch.items), batch.closes) for batch in batches]


def test_batches_end_with_their_shard():
    items = [Item(0, i, "txt", b"x" * i) for i in range(1, 11)]
    assert sizes(make_batches(items, 10, 3, 4)) == [
        *((3, False), (1, True), (3, False), (1, True), (2, True))
    ]
    assert sizes(make_batches(items[:8], 8, 9, 4)) == [(4, True), (4, True)]
    assert sizes(make_batches(items, 10, 5, 100, shard_bytes=11)) == [
        *((5, True), (2, True), (2, True), (1, True))
    ]
    assert sizes(make_batches([], 0, 3, 4)) == []


def test_all_inputs_in_their_order(job, tmp_path):
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    write_jsonl(folder / "b.jsonl", ["Ada", "FAIL"])
    (folder / "a.txt").write_text("Rome\n\n", encoding="utf8")
    (folder / "notes.md").write_text("no documents")
    nlp = spacy.blank("en")
    DocBin(docs=[nlp("Bo")]).to_disk(folder / "deep/c.spacy")
    last = write_jsonl(tmp_path / "last.jsonl", ["end"])
    said = []
    report = annotate_files(job, [folder, last], tmp_path / "out", say=said.append)
    assert [one["text"] for one in records(tmp_path / "out")] == ["Rome", "", "Ada", "Bo", "end"]
    assert (report.documents, report.annotated, report.failed, report.shards) == (6, 5, 1, 2)
    (error,) = errors(tmp_path / "out")
    assert error["input"] == str(folder / "b.jsonl")
    assert (error["number"], error["text"]) == (2, "FAIL")
    assert json.loads(error["source"]) == {"id": 1, "text": "FAIL"}
    assert "notes.md" in said[0]


def test_what_can_not_be_read(tmp_path):
    (tmp_path / "empty").mkdir()
    one = write_jsonl(tmp_path / "one.jsonl", ["a"])
    (tmp_path / "a.csv").touch()
    for paths, reason in [
        ([tmp_path / "nowhere.jsonl"], "There is no"),
        ([tmp_path / "a.csv"], "of no kind that can be read"),
        ([tmp_path / "empty"], "no files that can be read"),
        ([one, tmp_path / "empty/../one.jsonl"], "named twice"),
        ([tmp_path], "lies in the input"),
    ]:
        with pytest.raises(ValueError, match=reason):
            find_files(paths, tmp_path / "out")


def test_reading_from_a_document_on(tmp_path):
    paths = [write_jsonl(tmp_path / f"{i}.jsonl", TEXTS[:i]) for i in (3, 0, 2)]
    inputs = [look_at(path) for path in paths]
    every = [(0, 1), (0, 2), (0, 3), (2, 1), (2, 2)]
    for start in range(6):
        found = [(item.file, item.number) for item in read_from(inputs, start)]
        assert found == every[start:]


def test_an_input_that_changes(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", TEXTS[:3])
    one = look_at(path)
    os.utime(path, (1, 1))
    assert len(list(read_from([one], 0))) == 3  # the same all the same
    for n in (2, 4):
        write_jsonl(path, TEXTS[:n])
        with pytest.raises(ChangedInput, match="a.jsonl was changed"):
            list(read_from([one], 0))


def test_a_file_is_read_again_only_if_it_may_have_changed(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", TEXTS)
    known = Input("elsewhere", path.stat().st_size, path.stat().st_mtime_ns, "sha", 99)
    assert look_at(path, known) == Input(str(path), known.size, known.mtime_ns, "sha", 99)
    os.utime(path, (1, 1))
    assert look_at(path, known).documents == 10


def test_a_finished_run_does_nothing(job, source, tmp_path):
    annotate_files(job, [source], tmp_path / "out")
    before = contents(tmp_path / "out")
    moved = shutil.move(source, tmp_path / "moved.jsonl")
    report = annotate_files(job, [moved], tmp_path / "out")
    assert report.before == report.documents == 10
    assert contents(tmp_path / "out") == before
    assert all(one["keep"] == "me" for one in records(tmp_path / "out"))


@pytest.mark.parametrize("change", ["input", "inputs", "pipeline", "setting", "code"])
def test_something_else_is_refused(job, source, tmp_path, change, ruler):
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


def test_two_at_once(job, source, tmp_path):
    with Output(tmp_path / "out", "jsonl"), pytest.raises(Refused, match="Another process"):
        annotate_files(job, [source], tmp_path / "out")
    annotate_files(job, [source], tmp_path / "out")


def test_parts_that_are_gone(job, source, tmp_path):
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
    """What was not written to its end does not count, nor does what is behind it."""
    write_jsonl(source, [*TEXTS, "FAIL", "end"])
    out = tmp_path / "out"
    annotate_files(job, [source], out)
    wanted = contents(out)
    journal = out / "progress.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(True)[:2]) + torn)
    (out / "documents/000002.jsonl").write_bytes(b"half")
    (out / "documents/.000002.jsonl.tmp").write_bytes(b"half")
    (out / ".manifest.json.tmp").write_bytes(b"half")
    (out / "errors.jsonl").write_bytes(b"of the shard that is not done")
    report = annotate_files(job, [source], out)
    assert report.before == 8
    assert contents(out) == wanted


@pytest.mark.parametrize("step", [6, 8, 9, 12])
def test_full_disk(job, source, tmp_path, monkeypatch, step):
    write_jsonl(source, ["FAIL", *TEXTS])
    annotate_files(job, [source], tmp_path / "whole")
    fsync, left = os.fsync, step

    def full(descriptor):
        nonlocal left
        left -= 1
        if left <= 0:
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
    """All of a batch or of a file failed; nothing was given."""
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


def test_a_key_that_is_taken(job, source, tmp_path):
    write_jsonl(source, TEXTS, entities=[])
    with pytest.raises(ValueError, match="--entities-key"):
        annotate_files(job, [source], tmp_path / "out")
    annotate_files(replace(job, entities_key="found"), [source], tmp_path / "other")
    assert all(one["entities"] == [] and one["found"] for one in records(tmp_path / "other"))
    write_jsonl(source, TEXTS)
    with source.open("a") as file:
        file.write('{"text": "a", "entities": 1}\n')
    report = annotate_files(job, [source], tmp_path / "third")
    assert (report.annotated, report.failed) == (10, 1)
    assert "--entities-key" in errors(tmp_path / "third")[0]["reason"]


@pytest.mark.parametrize("settings", [{"format": "xml"}, {"entities_key": "text"}])
def test_settings_that_are_refused(settings):
    with pytest.raises(ValueError, match="Known are jsonl and spacy|another --entities-key"):
        Job("blank:en", **settings)
