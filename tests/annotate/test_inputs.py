"""Input files: search, checksums, reading."""

import os

import pytest
from support.annotate_files import TEXTS, write_jsonl

from spacy_padellm.annotate.inputs import (
    ChangedInput,
    Input,
    find_files,
    fingerprint_input,
    read_inputs,
)


def test_unreadable_paths(tmp_path):
    (tmp_path / "empty").mkdir()
    file = write_jsonl(tmp_path / "one.jsonl", ["a"])
    (tmp_path / "a.csv").touch()
    for paths, reason in [
        ([tmp_path / "nowhere.jsonl"], "There is no"),
        ([tmp_path / "a.csv"], "of no kind that can be read"),
        ([tmp_path / "empty"], "no files that can be read"),
        ([file, tmp_path / "empty/../one.jsonl"], "named twice"),
        ([tmp_path], "lies in the input"),
    ]:
        with pytest.raises(ValueError, match=reason):
            find_files(paths, tmp_path / "out")


def test_reading_starts_at_a_document(tmp_path):
    paths = [write_jsonl(tmp_path / f"{i}.jsonl", TEXTS[:i]) for i in (3, 0, 2)]
    inputs = [fingerprint_input(path) for path in paths]
    every = [(0, 1), (0, 2), (0, 3), (2, 1), (2, 2)]
    for start in range(6):
        found = [(item.file, item.number) for item in read_inputs(inputs, start)]
        assert found == every[start:]


def test_changed_input(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", TEXTS[:3])
    known = fingerprint_input(path)
    os.utime(path, (1, 1))
    assert len(list(read_inputs([known], 0))) == 3  # the content is the same
    for n in (2, 4):
        write_jsonl(path, TEXTS[:n])
        with pytest.raises(ChangedInput, match="a.jsonl was changed"):
            list(read_inputs([known], 0))


def test_a_file_is_read_again_only_if_it_may_have_changed(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", TEXTS)
    known = Input("elsewhere", path.stat().st_size, path.stat().st_mtime_ns, "sha", 99)
    assert fingerprint_input(path, known) == Input(str(path), known.size, known.mtime_ns, "sha", 99)
    os.utime(path, (1, 1))
    assert fingerprint_input(path, known).documents == 10
