"""Adapters of others: none of their code is run, no pickle is read, no other file is touched."""

import pickle
import shutil

import pytest
import srsly
from support.pipelines import LORA, TEXTS, blank_pipeline, found, ner_of
from support.untrusted import CODE, Evil, change, flip

from spacy_padellm.model.adapter import check_adapter_folder, new_adapter
from spacy_padellm.model.serialization import SavedModel

pytest_plugins = ["support.pipeline_fixtures"]


@pytest.fixture
def adapter(taught_folder, tmp_path):
    """A copy of a trained adapter, to be spoilt."""
    return shutil.copytree(taught_folder / "padellm_ner" / "model", tmp_path / "adapter")


def test_flipped_bit_in_an_adapter(adapter, tiny_base):
    flip(adapter / "adapter_model.safetensors")
    for read in (
        lambda: blank_pipeline(tiny_base, str(adapter))(TEXTS[0]),
        lambda: ner_of(blank_pipeline(tiny_base)).shim.from_disk(adapter),
    ):
        with pytest.raises(ValueError, match="is damaged: adapter_model.safetensors has sha256"):
            read()
    base = srsly.read_json(adapter / "base.json")
    del base["adapter_sha256"]  # as the message suggests
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
    (tmp_path / "evil_core.py").write_text(CODE.format(path=str(tmp_path / "ran")))
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
    """The base's name in an adapter is compared, and never opened."""
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
