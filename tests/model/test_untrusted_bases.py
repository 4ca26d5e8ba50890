"""Bases of others: none of their code is run, no pickle is read, no other file is read."""

import json
import pickle
import shutil

import pytest
import srsly
import torch
from support.pipelines import TEXTS, blank_pipeline, write_tiny_base
from support.untrusted import CODE, Evil, change, flip

from spacy_padellm.model.network import load_codec, load_network
from spacy_padellm.weights.folder import check_folder
from spacy_padellm.weights.resolver import resolve_weights

pytest_plugins = ["support.pipeline_fixtures"]


@pytest.fixture
def base(tiny_base, tmp_path, monkeypatch):
    """A copy of a tiny base, to be spoilt."""
    monkeypatch.setenv("SPACY_PADELLM_CACHE", str(tmp_path / "cache"))
    return shutil.copytree(tiny_base, tmp_path / "base")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pth", "model.ckpt"])
def test_pickled_weights(base, tmp_path, name):
    (base / "model.safetensors").unlink()
    (base / name).write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    with pytest.raises(ValueError, match=rf"as {name}, .* can run code .* only safetensors"):
        resolve_weights(base)
    with pytest.raises(ValueError, match="can't read the folder"):
        load_network(base, "cpu", torch.float32)
    assert not (tmp_path / "ran").exists()


def test_pickle_beside_safetensors_is_not_read(base, tmp_path):
    (base / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    assert blank_pipeline(base)(TEXTS[0]).has_annotation("ENT_IOB")
    assert not (tmp_path / "ran").exists()


def test_pickle_by_the_name_of_safetensors(base, tmp_path):
    (base / "model.safetensors").write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    with pytest.raises(ValueError, match="can't read the folder"):
        blank_pipeline(base)(TEXTS[0])
    assert not (tmp_path / "ran").exists()


def with_code(base, path, **settings):
    """Add code to a base, which writes a file."""
    (base / "evil.py").write_text(CODE.format(path=str(path)), encoding="utf8")
    auto_map = {"AutoConfig": "evil.EvilConfig", "AutoModelForCausalLM": "evil.EvilModel"}
    change(base / "config.json", auto_map=auto_map, **settings)


def test_base_that_needs_code_of_its_own(base, tmp_path):
    with_code(base, tmp_path / "ran", model_type="evil")
    with pytest.raises(ValueError, match=r"auto_map, model_type 'evil'.*trust_remote_code is alw"):
        blank_pipeline(base)(TEXTS[0])
    assert not (tmp_path / "ran").exists()


def test_base_that_brings_code_but_needs_none(base, tmp_path):
    """transformers knows its type: its own class is used, and the code left alone."""
    with_code(base, tmp_path / "ran")
    assert blank_pipeline(base)(TEXTS[0]).has_annotation("ENT_IOB")
    assert not (tmp_path / "ran").exists()


def test_tokenizer_that_needs_code_of_its_own(base, tmp_path):
    (base / "evil.py").write_text(CODE.format(path=str(tmp_path / "ran")), encoding="utf8")
    path = base / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf8"))
    config["tokenizer_class"] = "EvilTokenizer"
    config["auto_map"] = {"AutoTokenizer": ["evil.EvilTokenizer", None]}
    path.write_text(json.dumps(config), encoding="utf8")
    loaded = load_or_error(base)
    if isinstance(loaded, ValueError):
        assert "can't read the tokenizer" in str(loaded)
    else:  # some versions of transformers go by tokenizer.json alone
        assert loaded.decode(loaded.encode("Bo")) == "Bo"
    assert not (tmp_path / "ran").exists()


def load_or_error(base):
    try:
        return load_codec(base)
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    "name", ["../outside.safetensors", "/etc/outside.safetensors", "a\\b.safetensors", "x.bin", 7]
)
def test_index_that_names_files_elsewhere(base, tmp_path, name):
    shutil.move(base / "model.safetensors", tmp_path / "outside.safetensors")
    index = {"metadata": {}, "weight_map": {"model.embed_tokens.weight": name}}
    srsly.write_json(base / "model.safetensors.index.json", index)
    with pytest.raises(ValueError, match=r"names .* Only \.safetensors files of its own") as error:
        resolve_weights(base)
    assert repr(name) in str(error.value)


@pytest.mark.parametrize("content", ["{", "[]", '{"weight_map": [1]}', '{"weight_map": {}}'])
def test_index_that_is_none(base, content):
    (base / "model.safetensors").unlink()
    (base / "model.safetensors.index.json").write_text(content, encoding="utf8")
    with pytest.raises(ValueError, match="has no weight_map"):
        check_folder(base)


def test_truncated_base(base):
    path = base / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="can't read the folder"):
        blank_pipeline(base)(TEXTS[0])


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_damaged_tokenizer(base, content):
    (base / "tokenizer.json").write_bytes(content)
    with pytest.raises(ValueError, match="can't read the tokenizer in the folder") as error:
        blank_pipeline(base)(TEXTS[0])
    assert str(base) in str(error.value)


def test_flipped_bit_in_the_base_of_an_adapter(base, taught_folder):
    """The adapter knows the sha256 of its base."""
    flip(base / "model.safetensors")
    import spacy

    nlp = spacy.load(taught_folder, config={"components.padellm_ner.model.name": str(base)})
    with pytest.raises(ValueError, match="was trained on base"):
        nlp(TEXTS[0])


def test_write_tiny_base_is_a_base(tmp_path, toy_tokenizer):
    """Unspoilt, the folder that the tests above spoil is taken."""
    check_folder(write_tiny_base(tmp_path / "base", toy_tokenizer))
