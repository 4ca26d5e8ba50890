"""The pipeline of the tests of `annotate`; list it in `pytest_plugins`."""

import pytest
import spacy
import support.odd_components  # noqa: F401
from support.annotate_files import TEXTS, write_jsonl

from spacy_padellm.annotate.job import Job

PATTERNS = [{"label": "person", "pattern": "Ada"}, {"label": "place", "pattern": "Rome"}]


@pytest.fixture(scope="session")
def ruler(tmp_path_factory):
    """Folder of a pipeline that finds Ada and Rome, and fails on words such as FAIL."""
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns(PATTERNS)
    nlp.add_pipe("scripted_errors")
    folder = tmp_path_factory.mktemp("ruler") / "pipeline"
    nlp.to_disk(folder)
    return folder


@pytest.fixture
def source(tmp_path):
    return write_jsonl(tmp_path / "source.jsonl", TEXTS, keep="me")


@pytest.fixture
def job(ruler):
    return Job(str(ruler), shard_size=4, batch_size=3)
