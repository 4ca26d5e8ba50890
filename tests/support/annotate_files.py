"""Files that the tests of `annotate` write and read."""

import json

from support.pipelines import ROOT

CODE = ROOT / "tests/support/odd_components.py"
TEXTS = [f"Ada left Rome, {i} times" for i in range(10)]


def write_jsonl(path, texts, **rest):
    lines = [json.dumps({"id": i, "text": text, **rest}) + "\n" for i, text in enumerate(texts)]
    path.write_text("".join(lines), encoding="utf8")
    return path


def records(output):
    """The records of all shards."""
    files = sorted((output / "documents").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text("utf8").splitlines()]


def errors(output):
    return [json.loads(line) for line in (output / "errors.jsonl").read_text().splitlines()]


def contents(output):
    """The content of every file of an output except its lock, by name."""
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in sorted(output.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }
