import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.bases import GGUF

from spacy_padellm.weights import resolver
from spacy_padellm.weights.package import SMOLLM2
from spacy_padellm.weights.resolver import DEFAULT_NAME, Weights, cache_folder, resolve_weights
from spacy_padellm.weights.store import find_faults, read_manifest


@pytest.mark.weights
def test_default_base_is_whole_and_loads(capsys):
    resolve_weights(DEFAULT_NAME)
    capsys.readouterr()
    base = resolve_weights(DEFAULT_NAME, download=False)
    assert capsys.readouterr() == ("", "")  # no status line for a cached base
    assert base == Weights(DEFAULT_NAME, base.folder, SMOLLM2.sha256)
    assert find_faults(base.folder, checksums=True) == []
    manifest = read_manifest(base.folder)
    assert manifest["license"] == "Apache-2.0"
    assert manifest["source_sha256"] == SMOLLM2.sha256
    assert {"config.json", "tokenizer.json", "model.safetensors"} <= set(manifest["files"])

    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base.folder)
    model = AutoModelForCausalLM.from_pretrained(base.folder)
    ids = tokenizer("The capital of France is", return_tensors="pt").input_ids
    assert tokenizer.decode(model(ids).logits[0, -1].argmax()) == " Paris"


@pytest.mark.weights
def test_default_base_resolves_quickly():
    resolve_weights(DEFAULT_NAME)
    start = time.process_time()
    resolve_weights(DEFAULT_NAME)
    assert time.process_time() - start < 0.1


def test_gguf_is_converted_once_whatever_its_name(cache, conversions, tmp_path, capsys):
    path = tmp_path / "my.gguf"
    path.write_bytes(GGUF)
    base = resolve_weights(path)
    assert "converting it, once" in " ".join(capsys.readouterr().err.split())
    assert base == Weights(str(path), base.folder, hashlib.sha256(GGUF).hexdigest())
    assert find_faults(base.folder, checksums=True) == []
    copy = shutil.copy(path, str(tmp_path / "other.GGUF"))
    assert resolve_weights(copy) == Weights(copy, base.folder, base.sha256)
    assert conversions == [path]
    path.write_bytes(GGUF + b"!")
    assert resolve_weights(path, progress=False).folder != base.folder
    assert conversions == [path, path]


def test_gguf_that_is_none(cache, tmp_path):
    with pytest.raises(OSError, match=r"no GGUF file .*none\.gguf"):
        resolve_weights("owner/none.gguf")
    (tmp_path / "text.gguf").write_text("text", encoding="utf8")
    with pytest.raises(ValueError, match=r"text\.gguf is no GGUF file"):
        resolve_weights(tmp_path / "text.gguf")


def test_copied_conversion_is_the_same_base(cache, conversions, tmp_path):
    path = tmp_path / "my.gguf"
    path.write_bytes(GGUF)
    base = resolve_weights(path, progress=False)
    copy = Path(shutil.copytree(base.folder, tmp_path / "copy"))
    assert resolve_weights(copy).sha256 == base.sha256
    (copy / "model.safetensors").unlink()
    (copy / "model.safetensors").write_bytes(b"short")
    with pytest.raises(ValueError, match=r"damaged: .*model\.safetensors has 5 bytes"):
        resolve_weights(copy)


def test_folder(cache, base, monkeypatch):
    sha256 = hashlib.sha256(b"weights").hexdigest()
    assert resolve_weights(base) == Weights(str(base), base, sha256)
    monkeypatch.chdir(base.parent)
    assert resolve_weights("base") == Weights("base", base, sha256)
    base.rename(base.parent / DEFAULT_NAME)  # a text names the default base, a path never does
    assert resolve_weights(Path(DEFAULT_NAME)).sha256 == sha256


@pytest.mark.parametrize("name", [None, 7, True, b"base", ["base"], "", "  "])
def test_name_that_is_no_name(name):
    with pytest.raises(ValueError, match="Accepted are 'smollm2-135m'") as error:
        resolve_weights(name)
    assert repr(name) in str(error.value)


@pytest.mark.parametrize(
    "name", ["smollm", "./base", "a/b/c", "~nobody/x", "own er/x", Path("o/x")]
)
def test_unknown_name(name, cache):
    with pytest.raises(ValueError, match=r"no base model .* Accepted are") as error:
        resolve_weights(name)
    assert repr(str(name)) in str(error.value)


def test_file_that_is_no_base(base):
    with pytest.raises(ValueError, match=r"model\.safetensors' is a file.*Accepted are"):
        resolve_weights(base / "model.safetensors")


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("SPACY_PADELLM_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPACY_PADELLM_CACHE", "near")
    assert cache_folder() == tmp_path / "near"
    monkeypatch.setenv("SPACY_PADELLM_CACHE", "~/far")
    assert cache_folder() == Path.home() / "far"
    monkeypatch.setenv("SPACY_PADELLM_CACHE", "")
    assert cache_folder().name == "spacy-padellm"


def test_import_is_light():
    heavy = "[name for name in ('torch', 'transformers', 'huggingface_hub') if name in sys.modules]"
    code = f"import sys, spacy_padellm.weights.resolver; print({heavy})"
    environment = {**os.environ, "PYTHONPATH": str(Path(resolver.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert done.stdout.strip() == b"[]", done.stderr
