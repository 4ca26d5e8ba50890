"""The command as a user runs it."""

import os
import signal
import subprocess
import sys
import time

import pytest
from spacy.cli._util import app as spacy_app
from support.annotate_files import CODE, contents, errors, records, write_jsonl
from support.pipelines import TEXTS
from typer.testing import CliRunner

import spacy_padellm.cli  # noqa: F401  # adds its commands to spaCy's

pytest_plugins = ["support.pipeline_fixtures", "support.annotate_fixtures"]
SLOW = [f"SLOW {i}" for i in range(400)]


def run(*arguments):
    result = CliRunner().invoke(spacy_app, ["padellm", "annotate", *map(str, arguments)])
    return result.exit_code, " ".join(result.output.split())


def start(log, *arguments):
    command = [sys.executable, "-m", "spacy", "padellm", "annotate", *map(str, arguments)]
    with log.open("ab") as stream:
        return subprocess.Popen(command, stdout=stream, stderr=stream, env={**os.environ})


def wait_for_shards(output, n, process, log):
    deadline = time.monotonic() + 120
    journal = output / "progress.jsonl"
    while not journal.exists() or journal.read_bytes().count(b"\n") < n:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_annotates_and_reports_it(ruler, tmp_path):
    source = write_jsonl(tmp_path / "source.jsonl", ["Ada left.", "To Rome."])
    code, output = run(ruler, source, tmp_path / "out")
    assert code == 0, output
    assert "All 2 documents are annotated" in output
    assert records(tmp_path / "out")[0] == {
        "id": 0,
        "text": "Ada left.",
        "entities": [{"start": 0, "end": 3, "label": "person", "text": "Ada", "score": None}],
    }
    code, output = run(ruler, source, tmp_path / "out")
    assert code == 0, output
    assert "was finished before" in output


def test_documents_that_fail_have_an_exit_code(ruler, tmp_path):
    one = write_jsonl(tmp_path / "one.jsonl", ["Ada", "FAIL"])
    two = tmp_path / "two.txt"
    two.write_bytes(b"Rome\n\xff\nDROP\n")
    arguments = (ruler, one, two, tmp_path / "out", "--batch-size", "2", "--shard-size", "3")
    for _ in range(2):
        code, output = run(*arguments)
        assert code == 3, output
        assert "3 documents failed" in output
    assert [(one["input"], one["number"]) for one in errors(tmp_path / "out")] == [
        *((str(one), 2), (str(two), 2), (str(two), 3))
    ]
    assert len(records(tmp_path / "out")) == 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (["--shard-size", "5"], "--shard-size: it was 1000, now it is 5"),
        (["--format", "xml"], "Unknown format 'xml'"),
        (["--code", "nowhere.py"], "nowhere.py"),
    ],
)
def test_refused(ruler, tmp_path, change, reason):
    source = write_jsonl(tmp_path / "source.jsonl", ["Ada"])
    assert run(ruler, source, tmp_path / "out")[0] == 0
    code, output = run(ruler, source, tmp_path / "out", *change)
    assert code == 1
    assert reason in output


def test_nothing_there(ruler, tmp_path):
    source = write_jsonl(tmp_path / "source.jsonl", ["Ada"])
    code, output = run(tmp_path / "nowhere", source, tmp_path / "out")
    assert code == 1
    assert "There is no pipeline" in output
    code, output = run(ruler, tmp_path / "nowhere.txt", tmp_path / "out")
    assert code == 1
    assert "There is no" in output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_by_a_signal(ruler, tmp_path, number):
    source = write_jsonl(tmp_path / "source.jsonl", SLOW)
    log, out = tmp_path / "log.txt", tmp_path / "out"
    process = start(log, ruler, source, out, "--code", CODE, "--shard-size", 4, "--batch-size", 2)
    wait_for_shards(out, 2, process, log)
    process.send_signal(number)
    assert process.wait(60) == 128 + number, log.read_text()
    output = " ".join(log.read_text().split())
    assert f"Stopped by {number.name}" in output
    assert "of 400 documents are done and kept" in output
    assert not list(out.rglob("*.tmp"))


def test_a_killed_run_of_a_model_goes_on(taught_folder, tmp_path):
    """SIGKILL while it annotates: in the end every byte is that of the run that was not killed."""
    texts = [f"{text} {i}" for i in range(60) for text in TEXTS]
    source = write_jsonl(tmp_path / "source.jsonl", texts)
    options = ("--shard-size", 8, "--batch-size", 4)
    code, output = run(taught_folder, source, tmp_path / "whole", *options)
    assert code == 0, output
    log, out = tmp_path / "log.txt", tmp_path / "out"
    process = start(log, taught_folder, source, out, *options)
    wait_for_shards(out, 3, process, log)
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    done = (out / "progress.jsonl").read_bytes().count(b"\n")
    assert 3 <= done < len(texts) / 8
    code, output = run(taught_folder, source, out, *options)
    assert code == 0, output
    assert contents(out) == contents(tmp_path / "whole")
    scores = [one["score"] for record in records(out) for one in record["entities"]]
    assert scores
    assert all(0 < score <= 1 for score in scores)


def test_processes_give_the_same(tmp_path):
    source = tmp_path / "source.txt"
    source.write_bytes(b"Ada\n\xff\nRome\n\na\nb\nc\n")
    for n in (1, 2):
        options = ("--n-process", n, "--shard-size", 4, "--batch-size", 2)
        code, output = run("blank:en", source, tmp_path / f"{n}", *options)
        assert code == 3, output
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    assert [one["text"] for one in records(tmp_path / "2")] == ["Ada", "Rome", "", *"abc"]
