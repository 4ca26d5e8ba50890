import pytest
import spacy
from support.pipelines import blank_pipeline, ner_of

from spacy_padellm.pipeline import loading
from spacy_padellm.pipeline.loading import find_component, load_pipeline, padellm_components

pytest_plugins = ["support.pipeline_fixtures"]


@pytest.fixture
def two_components(tiny_base):
    nlp = blank_pipeline(tiny_base)
    nlp.add_pipe("padellm_ner", name="second")
    return nlp


def test_the_only_component(tiny_base):
    nlp = blank_pipeline(tiny_base)
    assert find_component(nlp) is find_component(nlp, "padellm_ner") is ner_of(nlp)


def test_one_of_several_components_by_name(two_components):
    assert find_component(two_components, "second").name == "second"
    with pytest.raises(ValueError, match="padellm_ner, second") as error:
        find_component(two_components)
    assert "Give the name of one (--component)" in str(error.value)


def test_unknown_component(tiny_base):
    with pytest.raises(ValueError, match="no padellm_ner component 'other'"):
        find_component(blank_pipeline(tiny_base), "other")
    with pytest.raises(ValueError, match="components are: none"):
        find_component(spacy.blank("en"))


def test_disabled_components_are_left_out(two_components):
    two_components.disable_pipe("padellm_ner")
    assert list(padellm_components(two_components)) == ["second"]
    assert find_component(two_components).name == "second"


def test_device_of_the_config(taught_folder):
    nlp = load_pipeline(taught_folder)
    assert ner_of(nlp).shim.settings == ner_of(spacy.load(taught_folder)).shim.settings


@pytest.mark.parametrize("has_cupy", [False, True])
def test_gpu_id_replaces_the_device_of_every_component(
    two_components, tmp_path, monkeypatch, has_cupy
):
    two_components.to_disk(tmp_path / "two")
    required = []
    monkeypatch.setattr(loading, "has_cupy", has_cupy)
    monkeypatch.setattr(loading, "require_gpu", required.append)
    nlp = load_pipeline(tmp_path / "two", gpu_id=1)
    devices = [ner.shim.settings.device for ner in padellm_components(nlp).values()]
    assert devices == ["cuda:1", "cuda:1"]
    assert required == ([1] if has_cupy else [])


def test_unknown_pipeline(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        load_pipeline(tmp_path / "nowhere")
