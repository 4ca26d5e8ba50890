import hashlib
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from spacy.cli._util import app as spacy_app
from typer.testing import CliRunner

import spacy_padellm
from spacy_padellm.cli import app
from spacy_padellm.weights.package import SMOLLM2


@pytest.fixture
def base(tmp_path, monkeypatch):
    monkeypatch.setenv("SPACY_PADELLM_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}', encoding="utf8")
    (folder / "tokenizer.json").write_text("{}", encoding="utf8")
    (folder / "model.safetensors").write_bytes(b"x" * 1_500_000)
    return folder


def run(*arguments, app=app):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def test_prints_place_size_and_checked_sha256(base):
    code, output = run("download", base)
    assert code == 0, output
    assert str(base) in output
    assert "1.5 MB" in output
    assert f"{hashlib.sha256(b'x' * 1_500_000).hexdigest()} (checked)" in output


def test_damage_is_found_and_force_takes_it_as_new(base):
    run("download", base)
    path = base / "model.safetensors"
    status = path.stat()
    path.write_bytes(b"y" * 1_500_000)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    code, output = run("download", base)
    assert code == 1
    assert "damaged" in output
    code, output = run("download", base, "--force")
    assert code == 0, output
    assert hashlib.sha256(path.read_bytes()).hexdigest() in output


@pytest.mark.parametrize("name", ["no-such-base", "no/such/base", "none.gguf"])
def test_unknown_base_is_one_error(base, name):
    code, output = run("download", name)
    assert code == 1
    assert f"Base model '{name}' is not ready" in output
    assert "Traceback" not in output


@pytest.mark.weights
def test_default_base():
    code, output = run("download")
    assert code == 0, output
    assert f"{SMOLLM2.sha256} (checked)" in output


def test_command_is_one_of_spacys(base):
    code, output = run("padellm", "download", base, app=spacy_app)
    assert code == 0, output
    assert str(base) in output


def test_entry_point():
    (entry,) = entry_points(group="spacy_cli", name="padellm")
    assert entry.load() is app


def test_help_needs_nothing_heavy():
    # torch itself comes with spaCy
    code = (
        "import sys, spacy.cli; before = set(sys.modules); import spacy_padellm.cli; "
        "heavy = {'transformers', 'peft', 'huggingface_hub', 'gguf', 'spacy_transformers'}; "
        "print(sorted(heavy & (set(sys.modules) - before)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(spacy_padellm.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert done.stdout.strip() == b"[]", done.stderr
