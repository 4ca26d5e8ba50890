"""Pipelines and files for the tests of `annotate`; a module asks for them by `pytest_plugins`."""

import json

import odd_components  # noqa: F401
import pytest
import spacy
from pipelines import ROOT

PATTERNS = [{"label": "person", "pattern": "Ada"}, {"label": "place", "pattern": "Rome"}]
CODE = ROOT / "tests/odd_components.py"


@pytest.fixture(scope="session")
def ruler(tmp_path_factory):
    """Folder of a pipeline that finds Ada and Rome, and does what a text tells it."""
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns(PATTERNS)
    nlp.add_pipe("obedient")
    folder = tmp_path_factory.mktemp("ruler") / "pipeline"
    nlp.to_disk(folder)
    return folder


def write_jsonl(path, texts, **rest):
    lines = [json.dumps({"id": i, "text": text, **rest}) + "\n" for i, text in enumerate(texts)]
    path.write_text("".join(lines), encoding="utf8")
    return path


def records(output):
    """What was annotated, of all shards."""
    files = sorted((output / "documents").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text("utf8").splitlines()]


def errors(output):
    return [json.loads(line) for line in (output / "errors.jsonl").read_text().splitlines()]


def contents(output):
    """Every file of an output but its lock, by name."""
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in sorted(output.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }
