"""Pipelines that test modules share, built once per test run; list this module in
`pytest_plugins`."""

import shutil

import pytest
import spacy
import srsly
from spacy import util
from support.pipelines import LORA, ROOT, blank_pipeline, teach, write_tiny_base
from support.shared_folder import shared_folder


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory, toy_tokenizer):
    """Folder of a tiny llama of random weights."""
    return shared_folder(
        tmp_path_factory, "tiny_base", lambda folder: write_tiny_base(folder, toy_tokenizer)
    )


@pytest.fixture(scope="session")
def taught_folder(tiny_base, tmp_path_factory):
    """Folder of a saved pipeline whose adapter knows the gold sentences."""

    def build(folder):
        nlp = blank_pipeline(tiny_base, LORA)
        teach(nlp)
        nlp.to_disk(folder)

    return shared_folder(tmp_path_factory, "taught", build)


@pytest.fixture
def taught(taught_folder):
    """A pipeline of the test's own that knows the gold sentences."""
    return spacy.load(taught_folder)


@pytest.fixture
def tiny(tiny_base):
    """A pipeline of the test's own that knows nothing."""
    return blank_pipeline(tiny_base)


@pytest.fixture(scope="session")
def assembled(tmp_path_factory):
    """Folder of the shipped pipeline, as `spacy assemble` writes it. The adapter that its config
    names does not exist any more."""

    def build(folder):
        adapter = folder.with_name("assembled-adapter")
        shutil.copytree(ROOT / "assets/adapter", adapter)
        config = util.load_config(
            ROOT / "configs/en_padellm.cfg", overrides={"paths.adapter": str(adapter)}
        )
        nlp = util.load_model_from_config(config, auto_fill=True)
        nlp.initialize()
        nlp.to_disk(folder)
        shutil.rmtree(adapter)

    return shared_folder(tmp_path_factory, "assembled", build)


@pytest.fixture(scope="session")
def shipped(assembled):
    """The shipped pipeline, loaded; tests leave it as it is."""
    return spacy.load(assembled)


@pytest.fixture(scope="session")
def sample_texts():
    """The texts of the sample corpus."""
    return [record["text"] for record in srsly.read_jsonl(ROOT / "assets/sample.jsonl")]
