import pytest
import spacy
from spacy.training import Corpus

from spacy_padellm.corpus.shards import ShardWriter

NLP = spacy.blank("en")


def write(output, n_docs, docs_per_file=2, **options):
    with ShardWriter(output, docs_per_file, **options) as shards:
        for i in range(n_docs):
            shards.add(NLP.make_doc(f"Document {i} ."))
        return shards.finish()


def texts(path):
    return [example.reference.text for example in Corpus(path)(spacy.blank("en"))]


def leftovers(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_one_file(tmp_path):
    assert write(tmp_path / "new" / "a.spacy", 2) == [tmp_path / "new" / "a.spacy"]
    assert (tmp_path / "new" / "a.spacy").is_file()
    assert texts(tmp_path / "new" / "a.spacy") == ["Document 0 .", "Document 1 ."]
    assert leftovers(tmp_path / "new") == []


@pytest.mark.parametrize("options", [{}, {"docs_per_file": 100, "tokens_per_file": 5}])
def test_a_folder_of_files_is_read_in_order(tmp_path, options):
    files = write(tmp_path / "a.spacy", 5, **options)
    assert [file.name for file in files] == ["00000.spacy", "00001.spacy", "00002.spacy"]
    assert texts(tmp_path / "a.spacy") == [f"Document {i} ." for i in range(5)]
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(("before", "after"), [(1, 1), (1, 5), (5, 1), (5, 5), (7, 5)])
def test_an_earlier_output_is_replaced(tmp_path, before, after):
    write(tmp_path / "a.spacy", before)
    write(tmp_path / "a.spacy", after)
    assert len(texts(tmp_path / "a.spacy")) == after
    assert leftovers(tmp_path) == []


def test_what_was_not_finished_leaves_nothing(tmp_path):
    write(tmp_path / "a.spacy", 1)
    with pytest.raises(KeyError), ShardWriter(tmp_path / "a.spacy", 1) as shards:
        for _ in range(3):
            shards.add(NLP.make_doc("Something else"))
        raise KeyError
    assert texts(tmp_path / "a.spacy") == ["Document 0 ."]
    assert leftovers(tmp_path) == []


def test_no_other_folder_is_replaced(tmp_path):
    folder = tmp_path / "a.spacy"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="other things"):
        ShardWriter(folder, 1)


def test_spacy_reads_only_its_own_suffix(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.spacy"):
        ShardWriter(tmp_path / "a.bin", 1)
