"""A cache folder, a base and a conversion for the tests of the weights."""

import pytest
from support.bases import write_base

from spacy_padellm.weights import resolver


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

    monkeypatch.setattr(resolver, "convert_gguf", convert)
    return sources
