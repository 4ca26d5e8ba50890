"""Runs that are continued with other inputs, settings or pipelines."""

import shutil
from dataclasses import replace

import pytest
from support.annotate_files import TEXTS, contents, write_jsonl

from spacy_padellm.annotate.output import Refused
from spacy_padellm.annotate.run import annotate_files

pytest_plugins = ["support.annotate_fixtures"]


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
