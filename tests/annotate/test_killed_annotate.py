"""Runs that are killed at any step and continued."""

import json
import subprocess
import sys

import pytest
from support.annotate_files import contents, errors, write_jsonl
from support.pipelines import ROOT

from spacy_padellm.annotate.job import Job
from spacy_padellm.annotate.run import annotate_files

pytest_plugins = ["support.annotate_fixtures"]
TEXTS = [f"{'FAIL' if i % 6 == 4 else 'Ada'} left Rome, {i} times" for i in range(17)]


@pytest.mark.parametrize("format", ["jsonl", "spacy"])
def test_killed_at_each_step(ruler, tmp_path, format):
    source = write_jsonl(tmp_path / "source.jsonl", TEXTS)
    whole = tmp_path / "whole"
    annotate_files(Job(str(ruler), format=format, shard_size=6, batch_size=3), [source], whole)
    expected = contents(whole)
    assert len(expected) == 3 + 3
    assert len(errors(whole)) == 3
    folder = tmp_path / "killed"
    folder.mkdir()
    run = subprocess.run(
        [sys.executable, ROOT / "tests/support/killed_annotate.py", ruler, source, folder, format],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    deaths = json.loads(run.stdout)
    # Per shard: its file flushed and renamed, its folder, errors, journal; and the steps before.
    assert deaths["anew"] > 3 * 5
    assert deaths["in one"] >= 3
    for number in range(1, deaths["anew"] + 2):
        assert contents(folder / str(number)) == expected, number
    assert contents(folder / "one") == expected
