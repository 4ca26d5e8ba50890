import os
import re
import subprocess
import sys

import pytest
import srsly
from support.pipelines import ROOT

pytest_plugins = ["support.pipeline_fixtures"]


def run_demo(*arguments):
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts/demo.py"), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        encoding="utf8",
        timeout=300,
    )


def test_sample_is_large_and_varied(sample_texts):
    assert len(sample_texts) >= 30
    assert len(set(sample_texts)) == len(sample_texts)
    assert max(map(len, sample_texts)) > 2 * min(map(len, sample_texts))


@pytest.mark.weights
@pytest.mark.slow
def test_demo_prints_probabilities_and_writes_a_page(assembled, sample_texts, tmp_path):
    page = tmp_path / "new" / "demo.html"
    done = run_demo(assembled, ROOT / "assets/sample.jsonl", page)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"(person|organisation|location|miscellaneous) +([01]\.\d{3})", done.stdout)
    assert len(rows) >= 30
    assert all(0 <= float(probability) <= 1 for _, probability in rows)
    assert re.search(
        rf"{len(sample_texts)} documents, {len(rows)} entities .*documents a second", done.stdout
    )
    html = page.read_text(encoding="utf8")
    assert html.count("<mark") == len(rows)
    assert "Rotterdam" in html


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "holds no texts"), ('{"text": 1}\n', 'no string under "text"'), ("{", "not a readable")],
    ids=["empty", "no text", "no JSON"],
)
def test_demo_refuses_texts_that_are_none(tmp_path, content, message):
    (tmp_path / "texts.jsonl").write_text(content, encoding="utf8")
    done = run_demo(tmp_path, tmp_path / "texts.jsonl", tmp_path / "demo.html")
    assert done.returncode == 1
    assert message in " ".join((done.stdout + done.stderr).split())  # wasabi breaks lines
    assert "Traceback" not in done.stderr


def test_demo_without_a_pipeline(tmp_path):
    done = run_demo(tmp_path / "none", tmp_path / "texts.jsonl", tmp_path / "demo.html")
    assert done.returncode == 1
    assert "No pipeline in" in " ".join((done.stdout + done.stderr).split())


def test_demo_takes_records_with_more_than_a_text(tmp_path):
    records = [{"text": "a", "meta": 1}]
    srsly.write_jsonl(tmp_path / "texts.jsonl", records)
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        from demo import read_texts, shorten
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    assert read_texts(tmp_path / "texts.jsonl") == ["a"]
    assert shorten("a \n  b" + "c" * 40, 10) == "a bcccccc…"
