import json
import subprocess
import sys

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.training import Corpus
from support.gold_trees import gold_trees
from support.pipelines import found
from typer.testing import CliRunner

from spacy_padellm.cli import app

GOOD = {"text": "Ada met Bo.", "spans": [{"start": 0, "end": 3, "label": "PER"}]}
EMPTY = {"text": "Nothing here.", "spans": []}


def run(*arguments):
    result = CliRunner().invoke(app, ["convert", *map(str, arguments)])
    assert "Traceback" not in result.output
    return result.exit_code, " ".join(result.output.split())


def write_lines(path, *values):
    lines = (value if isinstance(value, str) else json.dumps(value) for value in values)
    path.write_text("\n".join(lines) + "\n", encoding="utf8")
    return path


def references(path, lang="en"):
    return [example.reference for example in Corpus(path)(spacy.blank(lang))]


@pytest.fixture
def source(tmp_path):
    return tmp_path / "corpus.jsonl"


@pytest.fixture
def output(tmp_path):
    return tmp_path / "corpus.spacy"


def test_spans(source, output, toy_builder):
    code, text = run(write_lines(source, GOOD, "", EMPTY), output)
    assert code == 0, text
    assert "2 documents written" in text
    assert "Format spans" in text
    docs = references(output)
    assert [found(doc) for doc in docs] == [[(0, 3, "PER")], []]
    # each can be learnt from, the one without mentions too
    examples = list(Corpus(output)(spacy.blank("en")))
    assert len(gold_trees(examples, ["PER"], toy_builder)) == 2


def test_lists_of_characters(tmp_path, output):
    source = write_lines(tmp_path / "dev.json", ["[春江月][08]", [1, 3, "春江月", "TV"]], ["小城"])
    code, text = run(source, output, "--lang", "zh", "--offsets", "char")
    assert code == 0, text
    assert [found(doc) for doc in references(output, "zh")] == [[(1, 4, "TV")], []]


def test_lists_of_tokens(tmp_path, output):
    source = write_lines(tmp_path / "dev.json", ["to Rome (Italy)", [1, 1, "Rome", "LOC"]])
    assert run(source, output)[0] == 0
    assert [found(doc) for doc in references(output)] == [[(3, 7, "LOC")]]


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.conll", "Ada B-PER\nmet O\n\nRome B-LOC"), ("a.iob", "Ada|B-PER met|O\nRome|B-LOC")],
)
def test_tagged(tmp_path, output, name, text):
    (tmp_path / name).write_text(text)
    assert run(tmp_path / name, output)[0] == 0
    assert [found(doc) for doc in references(output)] == [[(0, 3, "PER")], [(0, 4, "LOC")]]


def test_docs_pass_through(tmp_path, output):
    nlp = spacy.blank("en")
    docs = [nlp("Ada met Bo."), nlp("Rome")]
    docs[0].set_ents([docs[0].char_span(0, 3, label="PER")])
    docs[0].user_data["source"] = "a book"
    docs[0][1].lemma_ = "meet"
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "in.spacy")
    code, text = run(tmp_path / "in.spacy", output)
    assert code == 0, text
    ada, _ = references(output)
    assert found(ada) == [(0, 3, "PER")]
    assert ada.user_data["source"] == "a book"
    assert ada[1].lemma_ == "meet"
    assert "1 documents lack entity annotation" in text


BAD = {
    "not JSON": "{nonsense",
    "not within the text": {"text": "a", "spans": [{"start": 0, "end": 5, "label": "PER"}]},
    "has no label": {"text": "a", "spans": [{"start": 0, "end": 1}]},
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_line_stops_the_run_and_nothing_is_written(source, output, reason):
    write_lines(source, GOOD, BAD[reason], EMPTY)
    code, text = run(source, output)
    assert code == 1
    assert "1 bad line" in text
    assert f"{source.name}, line 2:".replace(" ", "") in text.replace(" ", "")
    assert reason in text
    assert [path.name for path in source.parent.iterdir()] == [source.name]


def test_a_mention_that_differs_from_the_text(tmp_path, output):
    source = write_lines(tmp_path / "a.json", ["to Rome", [1, 1, "Oslo", "LOC"]])
    code, text = run(source, output)
    assert code == 1
    assert "the mention is 'Oslo', and the text has 'Rome'" in text


def test_bad_lines_can_be_left_out(source, output):
    write_lines(source, GOOD, *BAD.values(), EMPTY)
    code, text = run(source, output, "--skip-bad")
    assert code == 0, text
    assert "3 bad lines were skipped" in text
    assert all(reason in text for reason in BAD)
    assert len(references(output)) == 2


@pytest.mark.parametrize("lines", [[], list(BAD.values())])
def test_no_documents(source, output, lines):
    write_lines(source, *lines)
    code, text = run(source, output, "--skip-bad", "--format", "spans")
    assert code == 1
    assert "has no documents" in text
    assert not output.exists()


def test_overlaps_and_splits_are_reported(source, output):
    spans = [(0, 12, "ORG"), (8, 12, "LOC"), (13, 16, "MISC")]
    keys = ("start", "end", "label")
    value = {"text": "Bank of Rome ex-x", "spans": [dict(zip(keys, span)) for span in spans]}
    value["spans"][2]["end"] = 15
    code, text = run(write_lines(source, {**value, "id": 1}), output, "--spans-key", "all")
    assert code == 0, text
    assert "1 mentions overlap others: they are in doc.spans['all']" in text
    assert "Ignored keys: id" in text
    (doc,) = references(output)
    assert [span.text for span in doc.spans["all"]] == ["Bank of Rome", "Rome", "ex"]
    assert [ent.text for ent in doc.ents] == ["Bank of Rome", "ex"]


def test_many_documents_make_a_folder(source, output):
    code, text = run(write_lines(source, *[GOOD] * 5), output, "--docs-per-file", 2)
    assert code == 0, text
    assert "a folder of 3 files" in text
    assert len(references(output)) == 5


@pytest.mark.parametrize(
    "arguments",
    [
        ["--format", "xml"],
        ["--offsets", "word"],
        ["--lang", "no-such"],
    ],
)
def test_wrong_settings_are_one_error(source, output, arguments):
    code, _ = run(write_lines(source, ["a"]), output, *arguments)
    assert code == 1
    assert not output.exists()


def test_damaged_docs(tmp_path, output):
    (tmp_path / "in.spacy").write_bytes(b"not a DocBin")
    code, text = run(tmp_path / "in.spacy", output)
    assert code == 1
    assert "no spaCy Docs" in text


MEMORY = """
import resource, sys
from pathlib import Path
import spacy
from spacy_padellm.corpus.conversion import convert_source
from spacy_padellm.corpus.formats import Source
from spacy_padellm.corpus.shards import ShardWriter
peaks = []
def on_progress(n_bytes):
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
with ShardWriter(Path(sys.argv[2]), 500) as shards:
    convert_source(Source(Path(sys.argv[1]), "spans"), spacy.blank("en"), shards,
                   on_progress=on_progress)
print(peaks[len(peaks) // 4], peaks[-1])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no peak of memory")
def test_memory_does_not_grow_with_the_file(source, output):
    # every word is new, so that what is kept of one would show
    texts = (" ".join(f"w{i}x{j}" for j in range(25)) for i in range(4000))
    write_lines(source, *({"text": text, "spans": []} for text in texts))
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, source, output], capture_output=True, text=True, timeout=120
    )
    early, late = map(int, done.stdout.split())
    assert late - early < 12_000, done.stderr  # kB; 75 000 words held would be some 30 000
