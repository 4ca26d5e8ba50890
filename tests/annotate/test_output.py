"""Output folders that are refused: in use, damaged, or of something else."""

import pytest
from support.annotate_files import TEXTS, write_jsonl

from spacy_padellm.annotate.output import Output, Refused
from spacy_padellm.annotate.run import annotate_files

pytest_plugins = ["support.annotate_fixtures"]


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
