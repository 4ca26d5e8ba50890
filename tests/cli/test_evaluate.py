import subprocess
import sys
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.cli._util import app as spacy_app
from spacy.tokens import DocBin
from spacy.util import import_file
from support.pipelines import GOLD, example
from typer.testing import CliRunner

from spacy_padellm.cli import app
from spacy_padellm.training.annotated_labels import ANNOTATED_LABELS

pytest_plugins = ["support.pipeline_fixtures"]


@pytest.fixture
def gold(tmp_path):
    nlp = spacy.blank("en")
    docs = DocBin(docs=[example(nlp, *one).reference for one in GOLD], store_user_data=True)
    docs.to_disk(tmp_path / "gold.spacy")
    return tmp_path / "gold.spacy"


def run(*arguments, app=app):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, " ".join(result.output.split())


def test_writes_metrics_and_page(taught_folder, gold, tmp_path):
    metrics, page = tmp_path / "new" / "metrics.json", tmp_path / "new" / "page.html"
    code, output = run(
        *("padellm", "evaluate", taught_folder, gold, "--output", metrics, "--html", page),
        *("--gpu-id", "-1", "--batch-size", "3"),
        app=spacy_app,
    )
    assert code == 0, output
    assert "100.0% 100.0% 100.0%" in output
    assert str(metrics) in output
    found = srsly.read_json(metrics)
    assert found["padellm_f"] == found["ents_f"] == 1
    assert found["data"]["documents"] == len(GOLD)
    assert page.read_text(encoding="utf8").startswith("<!DOCTYPE html>")


def test_without_outputs_it_prints(taught_folder, gold, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    code, output = run("evaluate", taught_folder, gold)
    assert code == 0, output
    for part in ("person", "place", "Exact counts", "Calibration error", "Not in the text"):
        assert part in output
    assert sorted(tmp_path.rglob("*")) == before


def test_folder_of_files(taught_folder, gold, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a.spacy", "b.spacy"):
        (folder / name).write_bytes(gold.read_bytes())
    metrics = tmp_path / "metrics.json"
    code, output = run("evaluate", taught_folder, folder, "--output", metrics)
    assert code == 0, output
    assert srsly.read_json(metrics)["data"]["documents"] == 2 * len(GOLD)


def refused(message, *arguments):
    code, output = run("evaluate", *arguments)
    assert code == 1, output
    assert message in output
    assert "Traceback" not in output
    return True


def test_unknown_pipeline_and_data(taught_folder, gold, tmp_path):
    assert refused("Can't find model", tmp_path / "none", gold)
    assert refused("There is no", taught_folder, tmp_path / "none.spacy")


@pytest.mark.parametrize("content", [b"", b"{}", b"\x00" * 100])
def test_file_that_is_not_spacys(taught_folder, tmp_path, content):
    (tmp_path / "gold.spacy").write_bytes(content)
    assert refused("can't be read as spaCy's binary format", taught_folder, tmp_path / "gold.spacy")


def test_no_documents(taught_folder, tmp_path):
    DocBin().to_disk(tmp_path / "gold.spacy")
    assert refused("holds no documents", taught_folder, tmp_path / "gold.spacy")
    (tmp_path / "gold.jsonl").write_text("{}", encoding="utf8")
    assert refused("holds no documents", taught_folder, tmp_path / "gold.jsonl")


def test_pipeline_without_the_component(gold, tmp_path):
    spacy.blank("en").to_disk(tmp_path / "blank")
    assert refused("no padellm_ner component", tmp_path / "blank", gold)


def test_one_of_two_components_is_named(taught_folder, gold, tmp_path):
    nlp = spacy.load(taught_folder)
    nlp.add_pipe("padellm_ner", name="second", source=spacy.load(taught_folder))
    nlp.to_disk(tmp_path / "two")
    assert refused("Give the name of one (--component)", tmp_path / "two", gold)
    metrics = tmp_path / "metrics.json"
    code, output = run(
        *("evaluate", tmp_path / "two", gold, "--component", "second", "--output", metrics)
    )
    assert code == 0, output
    assert srsly.read_json(metrics)["model"]["component"] == "second"


def test_output_is_checked_before_the_work(taught_folder, gold, tmp_path):
    assert refused("it is a folder", taught_folder, gold, "--output", tmp_path)
    (tmp_path / "file").write_text("", encoding="utf8")
    assert refused("Can't make the folder", taught_folder, gold, "--html", tmp_path / "file" / "x")


def test_gpu_that_is_not_there(taught_folder, gold):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert refused("torch sees 0 CUDA devices", taught_folder, gold, "--gpu-id", "0")


def test_code_is_imported(taught_folder, gold, tmp_path):
    nlp = spacy.load(taught_folder)
    code = tmp_path / "code.py"
    code.write_text(
        "from spacy.language import Language\n"
        '@Language.component("test_evaluate_nothing")\n'
        "def nothing(doc):\n    return doc\n",
        encoding="utf8",
    )
    import_file("test_evaluate_code", code)
    nlp.add_pipe("test_evaluate_nothing")
    nlp.to_disk(tmp_path / "coded")
    metrics = tmp_path / "metrics.json"
    command = [sys.executable, "-m", "spacy", "padellm", "evaluate", tmp_path / "coded", gold]
    done = subprocess.run(
        [*command, "--code", code, "--output", metrics], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert srsly.read_json(metrics)["ents_f"] == 1
    assert refused("Path to Python code not found", taught_folder, gold, "--code", tmp_path / "no")


def test_one_file_for_both_outputs(taught_folder, gold, tmp_path):
    same = tmp_path / "x" / ".." / "page"
    assert refused(
        "name the same file", taught_folder, gold, "--output", tmp_path / "page", "--html", same
    )


def test_limits_of_the_gold_annotation_are_printed(taught_folder, tmp_path):
    nlp = spacy.blank("en")
    docs = [example(nlp, *one).reference for one in GOLD]
    docs[0].user_data[ANNOTATED_LABELS] = ["person"]
    docs += [nlp.make_doc("Nobody looked here."), nlp.make_doc("")]
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "gold.spacy")
    metrics = tmp_path / "metrics.json"
    code, output = run("evaluate", taught_folder, tmp_path / "gold.spacy", "--output", metrics)
    assert code == 0, output
    assert "without any token, left out: 1" in output
    assert "in which nothing is judged: 1" in output
    assert "annotated for some of the labels only" in output
    assert "is blank" not in output
    data = srsly.read_json(metrics)["data"]
    assert data["documents"] == len(GOLD) + 1
    assert (data["limits"]["some_labels"], data["limits"]["not_annotated"]) == (1, 1)


def test_metrics_are_printed_where_they_can_not_be_written(taught_folder, gold, tmp_path):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full, a file on which every write fails")
    code, output = run("evaluate", taught_folder, gold, "--html", full)
    assert code == 1
    assert "Can't write the results" in output
    assert "padellm P, R, F" in output
