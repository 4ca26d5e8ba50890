import hashlib
import json
import platform

import pytest
import spacy
from support.pipelines import LORA, blank_pipeline, gold_examples, ner_of

from spacy_padellm.evaluation.provenance import PACKAGES, model_identity, versions
from spacy_padellm.model.adapter import WEIGHTS_FILE

pytest_plugins = ["support.pipeline_fixtures"]


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def trained_whole(base, seed):
    """A pipeline of which all weights were trained for one step."""
    nlp = blank_pipeline(base)
    examples = gold_examples(nlp)[:seed]
    optimizer = nlp.initialize(lambda: gold_examples(nlp))
    nlp.update(examples, sgd=optimizer)
    return nlp


def test_versions():
    found = versions()
    assert set(found) == {"python", *PACKAGES}
    assert found["python"] == platform.python_version()
    assert found["spacy"] == spacy.__version__
    assert json.loads(json.dumps(found)) == found


def test_package_that_is_not_installed_has_no_version(monkeypatch):
    monkeypatch.setattr("spacy_padellm.evaluation.provenance.PACKAGES", ("no-such-package",))
    assert versions()["no-such-package"] is None


def test_bare_base(tiny, tiny_base):
    identity = model_identity(ner_of(tiny))
    assert identity == {
        "base": str(tiny_base),
        "sha256": sha256(tiny_base / "model.safetensors"),
        "adapter_sha256": None,
        "whole": False,
        "whole_sha256": None,
        "device": "cpu",
    }


def test_adapters_have_different_identities(taught, taught_folder, tiny_base):
    identity = model_identity(ner_of(taught))
    assert identity["adapter_sha256"] == sha256(
        taught_folder / "padellm_ner" / "model" / WEIGHTS_FILE
    )
    untaught = blank_pipeline(tiny_base, LORA)
    untaught.initialize(lambda: gold_examples(untaught))
    other = model_identity(ner_of(untaught))
    assert other["sha256"] == identity["sha256"]
    assert other["adapter_sha256"] not in (None, identity["adapter_sha256"])
    assert model_identity(ner_of(taught)) == identity


def test_whole_pipelines_of_the_same_base_have_different_identities(tiny_base, tmp_path):
    found = []
    for seed in (1, 2):
        trained_whole(tiny_base, seed).to_disk(tmp_path / str(seed))
        identity = model_identity(ner_of(spacy.load(tmp_path / str(seed))))
        assert (identity["whole"], identity["adapter_sha256"]) == (True, None)
        weights = tmp_path / str(seed) / "padellm_ner" / "model" / "model.safetensors"
        assert identity["whole_sha256"] == sha256(weights)
        found.append(identity)
    assert found[0]["sha256"] == found[1]["sha256"]
    assert found[0]["whole_sha256"] != found[1]["whole_sha256"]


def test_whole_weights_that_were_never_saved_have_no_identity(tiny_base):
    """The hash of the base no longer matches the weights."""
    identity = model_identity(ner_of(trained_whole(tiny_base, 1)))
    assert identity["whole"] is True
    assert identity["sha256"] is identity["whole_sha256"] is identity["adapter_sha256"] is None
    assert identity["base"] == str(tiny_base)


def test_missing_base(tmp_path):
    with pytest.raises((OSError, ValueError), match="none"):
        model_identity(ner_of(blank_pipeline(tmp_path / "none")))
