import pytest
import spacy
from spacy.tokens import DocBin

from spacy_padellm.corpus.examples import read_examples

NLP = spacy.blank("en")


def write(path, *texts):
    DocBin(docs=[NLP.make_doc(text) for text in texts]).to_disk(path)
    return path


def test_documents_without_tokens_are_left_out_and_counted(tmp_path):
    path = write(tmp_path / "gold.spacy", "Ada met Bo.", "", "Rome")
    examples, n_empty = read_examples(path, NLP)
    assert [example.reference.text for example in examples] == ["Ada met Bo.", "Rome"]
    assert n_empty == 1


def test_folder_of_files(tmp_path):
    write(tmp_path / "a.spacy", "Ada")
    write(tmp_path / "b.spacy", "Bo")
    examples, n_empty = read_examples(tmp_path, NLP)
    assert [example.reference.text for example in examples] == ["Ada", "Bo"]
    assert n_empty == 0


def test_no_documents(tmp_path):
    with pytest.raises(ValueError, match="holds no documents"):
        read_examples(write(tmp_path / "gold.spacy"), NLP)
    with pytest.raises(ValueError, match="padellm convert"):
        read_examples(write(tmp_path / "blank.spacy", ""), NLP)


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        read_examples(tmp_path / "nowhere.spacy", NLP)
    (tmp_path / "gold.spacy").write_bytes(b"{}")
    with pytest.raises(ValueError, match="can't be read as spaCy's binary format"):
        read_examples(tmp_path / "gold.spacy", NLP)


def test_text_that_the_tokenizer_rejects(tmp_path):
    """The file is whole; the message must not call it damaged."""
    nlp = spacy.blank("en")
    nlp.max_length = 10
    with pytest.raises(ValueError, match="E088"):
        read_examples(write(tmp_path / "gold.spacy", "Ada Byron met Bo."), nlp)
