"""A model saved over another one leaves nothing of it."""

import srsly

from spacy_padellm.model.adapter import BASE_FILE, CONFIG_FILE, WEIGHTS_FILE
from spacy_padellm.model.serialization import SavedModel

FILES = {CONFIG_FILE: b'{"peft_type": "LORA"}', WEIGHTS_FILE: b"weights"}


def test_bare_base_over_an_adapter(tmp_path):
    SavedModel({"name": "one", "sha256": "1"}, FILES).to_folder(tmp_path)
    SavedModel({"name": "two", "sha256": "2"}).to_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [BASE_FILE]
    assert srsly.read_json(tmp_path / BASE_FILE)["name"] == "two"
    assert not SavedModel.from_folder(tmp_path).holds_weights


def test_bytes_and_folder_hold_the_same(tmp_path):
    saved = SavedModel({"name": "one", "sha256": "1"}, FILES)
    saved.to_folder(tmp_path)
    assert SavedModel.from_folder(tmp_path) == saved
    assert SavedModel.from_bytes(saved.to_bytes()) == saved
