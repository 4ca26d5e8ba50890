import json

import pytest

from spacy_padellm.weights.resolver import resolve_weights


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
