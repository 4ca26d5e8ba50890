"""A loaded shim moves to another device."""

import pytest

from spacy_padellm.model.settings import ModelSettings
from spacy_padellm.model.shim import CausalLMShim

pytest_plugins = ["support.pipeline_fixtures"]


@pytest.fixture
def shim(tiny_base):
    return CausalLMShim(ModelSettings(str(tiny_base), None, "cpu"))


def test_runner_is_built_again_on_the_new_device(shim):
    runner = shim.runner()
    assert shim.runner() is runner
    shim.to_device("cpu", 0)
    assert shim.runner() is not runner
    assert shim.runner().model is runner.model is shim.load()


def test_nothing_is_loaded_to_be_moved(shim):
    shim.to_device("cpu", 0)
    assert shim._model is None
