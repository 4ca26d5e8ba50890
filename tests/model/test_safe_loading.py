"""Folders of others: no code of theirs is run, no pickle is read, nothing outside is touched."""

import json
import pickle
import shutil
import subprocess
import sys
import textwrap

import pytest
import srsly
import torch
from support.pipelines import LORA, ROOT, TEXTS, blank_pipeline, found, ner_of, write_tiny_base

from spacy_padellm.model.adapter import check_adapter_folder, new_adapter
from spacy_padellm.model.network import load_codec, load_network
from spacy_padellm.model.serialization import SavedModel
from spacy_padellm.weights.folder import check_folder
from spacy_padellm.weights.resolver import resolve_weights

pytest_plugins = ["support.pipeline_fixtures"]


class Evil:
    """Makes a file where its pickle is read."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return (open, (str(self.place), "w"))


@pytest.fixture
def base(tiny_base, tmp_path, monkeypatch):
    """A copy of a tiny base, to be spoilt."""
    monkeypatch.setenv("SPACY_PADELLM_CACHE", str(tmp_path / "cache"))
    return shutil.copytree(tiny_base, tmp_path / "base")


@pytest.fixture
def adapter(taught_folder, tmp_path):
    """A copy of a trained adapter, to be spoilt."""
    return shutil.copytree(taught_folder / "padellm_ner" / "model", tmp_path / "adapter")


def change(path, **settings):
    srsly.write_json(path, {**srsly.read_json(path), **settings})


def flip(path, at=-1):
    """Flip one bit."""
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(bytes(data))


# --- bases ---


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


CODE = "open({place!r}, 'w')\nfrom transformers import LlamaConfig as EvilConfig\n"


def with_code(base, place, **settings):
    """A base that asks for code of its own, which makes a file."""
    (base / "evil.py").write_text(CODE.format(place=str(place)), encoding="utf8")
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
    (base / "evil.py").write_text(CODE.format(place=str(tmp_path / "ran")), encoding="utf8")
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


# --- adapters ---


def test_flipped_bit_in_an_adapter(adapter, tiny_base):
    flip(adapter / "adapter_model.safetensors")
    for need in (
        lambda: blank_pipeline(tiny_base, str(adapter))(TEXTS[0]),
        lambda: ner_of(blank_pipeline(tiny_base)).shim.from_disk(adapter),
    ):
        with pytest.raises(ValueError, match="is damaged: adapter_model.safetensors has sha256"):
            need()
    base = srsly.read_json(adapter / "base.json")
    del base["adapter_sha256"]  # as the message says
    srsly.write_json(adapter / "base.json", base)
    blank_pipeline(tiny_base, str(adapter))(TEXTS[0])


def test_pickled_adapter(adapter, tmp_path):
    (adapter / "adapter_model.safetensors").unlink()
    (adapter / "adapter_model.bin").write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    with pytest.raises(FileNotFoundError, match=r"adapter_model\.bin is not read, since it can"):
        check_adapter_folder(adapter)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["XLORA", "MULTITASK_PROMPT_TUNING", "IA3", None, 7])
def test_adapter_of_another_kind(adapter, tiny_base, kind):
    """Some kinds read other files, by pickle too."""
    change(adapter / "adapter_config.json", peft_type=kind)
    with pytest.raises(ValueError, match=rf"peft_type {kind!r}\. Only LORA is supported"):
        blank_pipeline(tiny_base, str(adapter))(TEXTS[0])


def test_adapter_that_names_a_module(adapter, tiny_base, tmp_path, monkeypatch, tiny_network):
    """peft imports what megatron_core names."""
    (tmp_path / "evil_core.py").write_text(CODE.format(place=str(tmp_path / "ran")))
    monkeypatch.syspath_prepend(str(tmp_path))
    evil = {"megatron_config": {"a": 1}, "megatron_core": "evil_core"}
    change(adapter / "adapter_config.json", **evil)
    with pytest.raises(ValueError, match="imports the module 'evil_core'"):
        blank_pipeline(tiny_base, str(adapter))(TEXTS[0])
    with pytest.raises(ValueError, match="imports the module 'evil_core'"):
        new_adapter(tiny_network("llama"), {**LORA, **evil})
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", ["{", "[]", "7"])
def test_adapter_whose_config_is_damaged(adapter, content):
    (adapter / "adapter_config.json").write_text(content, encoding="utf8")
    with pytest.raises(ValueError, match="not valid JSON|Only LORA is supported"):
        check_adapter_folder(adapter)
    (adapter / "base.json").write_text(content, encoding="utf8")
    with pytest.raises(ValueError, match="base.json"):
        SavedModel.from_folder(adapter)


def test_names_of_bases_and_adapters_are_words(adapter, tiny_base, tmp_path):
    """What an adapter says of its base is read, and never followed."""
    change(adapter / "adapter_config.json", base_model_name_or_path="../../outside", revision="x")
    change(adapter / "base.json", name="../../outside")
    nlp = blank_pipeline(tiny_base, str(adapter))
    assert found(nlp(TEXTS[1])) == [(0, 4, "place")]
    (tmp_path / "saved").mkdir()
    nlp.to_disk(tmp_path / "saved" / "here")
    assert [path.name for path in (tmp_path / "saved").iterdir()] == ["here"]


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "model.safetensors"])
def test_bytes_that_name_other_files(tmp_path, name):
    files = {name: b"outside"}
    data = srsly.msgpack_dumps({"base": {"name": "x", "sha256": None}, "files": files})
    with pytest.raises(ValueError, match="instead of those of an adapter") as error:
        SavedModel.from_bytes(data)
    assert name in str(error.value)


# --- pages ---


def test_demo_page_escapes_texts_and_labels(tiny, tmp_path):
    from spacy.tokens import Span

    attack = "<script>document.title='ran'</script>"
    doc = tiny.make_doc(f"Bo {attack} <b>")
    last = len(doc) - 1
    image = '"><img src=x onerror=1>'
    doc.set_ents([Span(doc, 0, 1, label=attack), Span(doc, last, last + 1, label=image)])
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        from demo import write_html
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    write_html([doc], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf8")
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("&lt;script&gt;") == 2


# --- disk ---

FULL = """
    import json, pathlib, resource, sys

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from spacy_padellm.weights.gguf import _save
    from spacy_padellm.weights.store import build_folder

    base, folder = map(pathlib.Path, sys.argv[1:])
    network = AutoModelForCausalLM.from_pretrained(base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    def write(scratch, made):
        _save(network, tokenizer, made)
        return {}

    try:
        build_folder(folder, write, progress=False)
    except OSError as error:
        print(json.dumps(str(error)))
"""


def test_disk_that_is_full_when_a_base_is_converted(tiny_base, tmp_path):
    """A limit on the size of files stands for the full disk: writing fails in the same place."""
    pytest.importorskip("resource", reason="limits of processes are Unix's")
    folder = tmp_path / "cache" / "converted"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(FULL), str(tiny_base), str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    message = json.loads(done.stdout)
    assert "The weights can't be written to" in message
    assert "large" in message
    assert [path.name for path in folder.parent.iterdir()] == ["converted.lock"]


def test_write_tiny_base_is_a_base(tmp_path, toy_tokenizer):
    """Unspoilt, the folder that the tests above spoil is taken."""
    check_folder(write_tiny_base(tmp_path / "base", toy_tokenizer))
