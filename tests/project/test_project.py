"""project.yml, and the sample corpus that it runs on."""

import subprocess
import sys
from functools import cache

import pytest
import spacy
import srsly
from spacy.cli._util import app as spacy_app
from spacy.tokens import DocBin
from support.pipelines import GOLD, ROOT, example
from typer.testing import CliRunner
from weasel.cli.document import project_document
from weasel.cli.run import project_run
from weasel.util import load_project_config

import spacy_padellm.cli  # noqa: F401  # adds its commands to spaCy's

pytest_plugins = ["support.pipeline_fixtures"]

PROJECT = load_project_config(ROOT)
COMMANDS = {command["name"]: command for command in PROJECT["commands"]}
PARTS = ("train", "dev", "test")
LABELS = {"person", "organisation", "location", "miscellaneous"}


def sample(part):
    return list(srsly.read_jsonl(ROOT / "assets" / f"sample_{part}.jsonl"))


@pytest.mark.parametrize(("part", "number"), [("train", 120), ("dev", 40), ("test", 24)])
def test_sample(part, number):
    """Spans that a tokenizer can hold, in order, without overlap; all labels, and texts without."""
    records = sample(part)
    assert len(records) == number
    assert {span["label"] for record in records for span in record["spans"]} == LABELS
    assert any(not record["spans"] for record in records)
    tokenize = spacy.blank("en").make_doc
    for record in records:
        doc, end = tokenize(record["text"]), 0
        for span in record["spans"]:
            assert end <= span["start"] < span["end"], record
            end = span["end"]
            assert doc.char_span(span["start"], end) is not None, record
        assert record["text"] == record["text"].strip()


def test_sample_texts_differ():
    texts = [record["text"] for part in PARTS for record in sample(part)]
    assert len(set(texts)) == len(texts)


def test_workflow_runs_all_commands_in_order():
    assert PROJECT["workflows"]["all"] == list(COMMANDS)
    made = {asset["dest"] for asset in PROJECT["assets"]}
    for command in COMMANDS.values():
        for path in command["deps"]:
            assert path in made or (ROOT / path).exists(), f"{command['name']} needs {path}"
        made |= {*command.get("outputs", []), *command.get("outputs_no_cache", [])}
        assert command["help"]


@cache
def help_page(*program):
    """RETURNS (str): What `--help` prints; spaCy's own commands run in this process."""
    if program[1:3] == ("-m", "spacy"):
        done = CliRunner().invoke(spacy_app, [*program[3:], "--help"])
        assert done.exit_code == 0, done.output
        return done.output
    done = subprocess.run(
        [*program, "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_and_options_exist(name):
    """Each script line names a command with the options it gives."""
    for line in COMMANDS[name]["script"]:
        words = line.split()
        assert words[0] == "python"
        end = next(n for n, word in enumerate(words) if "/" in word)
        if words[1] == "-m":
            program = [sys.executable, *words[1:end]]
        else:
            program = [sys.executable, str(ROOT / words[1])]
        page = help_page(*program)
        options = {word for word in words if word.startswith("--") and "." not in word}
        assert options <= set(page.replace(",", " ").split()), line


def test_documentation_is_up_to_date(tmp_path):
    """PROJECT.md is what `spacy project document . --output PROJECT.md --no-emoji` writes."""
    project_document(ROOT, tmp_path / "PROJECT.md", no_emoji=True)
    rendered = (tmp_path / "PROJECT.md").read_text(encoding="utf8")
    assert (ROOT / "PROJECT.md").read_text(encoding="utf8") == rendered


def test_variables_of_the_command_line():
    """`--vars.config en_lora --vars.gpu_id 0` reach the commands."""
    overrides = {"vars.config": "en_lora", "vars.gpu_id": 0, "vars.max_steps": 5}
    commands = load_project_config(ROOT, overrides=overrides)["commands"]
    (line,) = next(command["script"] for command in commands if command["name"] == "train")
    for words in ("configs/en_lora.cfg", "--gpu-id 0", "--training.max_steps 5"):
        assert words in line


def test_outputs_are_not_for_git():
    """What a run writes lies in folders that .gitignore names."""
    ignored = (ROOT / ".gitignore").read_text(encoding="utf8").split()
    for command in COMMANDS.values():
        for path in (*command.get("outputs", []), *command.get("outputs_no_cache", [])):
            assert f"/{path.split('/')[0]}/" in ignored
    assert "/project.lock" in ignored


def test_first_command_runs(tmp_path):
    """`convert` by the project's own runner, in a copy."""
    for folder in ("assets", "configs", "scripts"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    (tmp_path / "project.yml").write_text((ROOT / "project.yml").read_text(encoding="utf8"))
    project_run(tmp_path, "convert")
    nlp = spacy.blank("en")
    for part in PARTS:
        docs = list(DocBin().from_disk(tmp_path / f"corpus/{part}.spacy").get_docs(nlp.vocab))
        assert [doc.text for doc in docs] == [record["text"] for record in sample(part)]
        assert sum(len(doc.ents) for doc in docs) == sum(len(r["spans"]) for r in sample(part))


def test_visualize(taught, tmp_path):
    """A page with what was found, and what was annotated where that differs."""
    taught.to_disk(tmp_path / "pipeline")
    gold = [example(taught, text, ents).reference for text, ents in GOLD[:2]]
    gold[1].set_ents([])
    DocBin(docs=gold).to_disk(tmp_path / "gold.spacy")
    arguments = [tmp_path / "pipeline", tmp_path / "gold.spacy", tmp_path / "new/page.html"]
    subprocess.run(
        [sys.executable, str(ROOT / "scripts/visualize.py"), *map(str, arguments)],
        capture_output=True,
        timeout=120,
        check=True,
    )
    html = (tmp_path / "new/page.html").read_text(encoding="utf8")
    assert html.count('<div class="entities"') == 3
    assert html.count("annotated:") == 1
    assert "Ada Byron" in html
