"""A pipeline with scripted mentions for the tests of `evaluation`; list it in `pytest_plugins`."""

import pytest
from support.gold_evaluation import MENTIONS
from support.pipelines import script


@pytest.fixture
def scripted(tiny):
    return script(tiny, MENTIONS)
