"""The datasets of the benchmarks, and the scripts that compare two commits."""

import json
import sys

import pytest
import spacy
import srsly
from support.pipelines import ROOT

pytest_plugins = ["support.pipeline_fixtures"]
sys.path.insert(0, str(ROOT / "benchmarks"))

RECORDS = [
    {"text": "Ada left Rome.", "spans": [{"start": 9, "end": 13, "label": "CITY"}]},
    {"text": "Bo  stayed", "spans": [{"start": 0, "end": 2, "label": "HUMAN"}]},
    {"text": " ", "spans": []},
    {"text": "Nothing here", "spans": []},
    {"text": "Bo  stayed"},
]


def write(path, records=RECORDS):
    path.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_jsonl(path, records)
    return path


def test_datasets_are_found_by_name_folder_and_file(tmp_path):
    from harness.datasets import find_datasets

    for name in ("legal", "weibo"):
        write(tmp_path / name / "test.jsonl")
    write(tmp_path / "legal" / "train.jsonl", RECORDS[:1])
    write(tmp_path / "parts" / "b.jsonl", RECORDS[1:])
    write(tmp_path / "parts" / "a.jsonl", RECORDS[:1])

    def found(data, names=None, defaults=("conll03", "weibo"), **settings):
        datasets = find_datasets(data, names, defaults, **settings)
        return [(dataset.name, dataset.lang, len(dataset.texts())) for dataset in datasets]

    assert found(tmp_path, ["legal"]) == [("legal", "en", 5)]
    assert found(tmp_path, ["legal"], lang="de") == [("legal", "de", 5)]
    assert found(tmp_path, defaults=["weibo"]) == [("weibo", "zh", 5)]
    # No conll03 here: every dataset that has the split.
    assert [name for name, *_ in found(tmp_path)] == ["legal", "parts", "weibo"]
    assert found(tmp_path / "legal") == [("legal", "en", 5)]
    assert found(tmp_path / "legal" / "test.jsonl") == [("legal", "en", 5)]
    assert found(tmp_path / "legal", ["conll03"]) == [("conll03", "en", 5)]
    assert found(tmp_path / "parts") == [("parts", "en", 5)]
    assert found(tmp_path / "parts" / "a.jsonl") == [("a", "en", 1)]
    (parts,) = find_datasets(tmp_path / "parts", None, ())
    assert parts.texts() == [record["text"] for record in RECORDS]
    assert parts.texts("train") == parts.texts()
    (legal,) = find_datasets(tmp_path, ["legal"], (), split="train")
    assert legal.texts("train") == ["Ada left Rome."]


@pytest.mark.parametrize("names", [["conll03"], None])
def test_absent_data_is_a_message(tmp_path, capsys, names):
    from harness.datasets import find_datasets

    with pytest.raises(SystemExit):
        find_datasets(tmp_path, names, ("conll03",))
    assert "conll03" in capsys.readouterr().out


def test_a_split_that_is_absent_is_a_message(tmp_path, capsys):
    from harness.datasets import find_datasets

    write(tmp_path / "legal" / "test.jsonl")
    with pytest.raises(SystemExit):
        find_datasets(tmp_path, ["legal"], (), split="dev")
    assert "dev.jsonl" in capsys.readouterr().out


def test_one_dataset_has_one_name(tmp_path, capsys):
    from harness.datasets import find_datasets

    with pytest.raises(SystemExit):
        find_datasets(write(tmp_path / "test.jsonl"), ["a", "b"], ())
    assert "a, b" in capsys.readouterr().out


def test_documents_of_any_dataset(tmp_path):
    """Labels as they are, blank and repeated texts left out, tokens of spaCy where needed."""
    from harness.datasets import find_dataset
    from harness.documents import read_documents

    dataset = find_dataset(write(tmp_path / "legal" / "test.jsonl").parent, lang="de")
    documents = read_documents(dataset, 10)
    assert documents.texts == ["Ada left Rome.", "Bo  stayed", "Nothing here"]
    assert documents.labels == ("CITY", "HUMAN")
    assert documents.golds[0].spans == ((9, 13, "CITY"),)
    assert documents.tokens[0].tolist() == [[0, 3], [4, 8], [9, 13], [13, 14]]
    assert documents.golds[1].spans == ((0, 2, "HUMAN"),)
    assert documents.n_mentions == 2
    assert read_documents(dataset, 1).texts == ["Ada left Rome."]


def test_known_datasets_keep_labels_and_prompts(tmp_path):
    from harness.datasets import find_dataset
    from harness.documents import read_documents

    spans = [{"start": 0, "end": 3, "label": "PER"}]
    write(tmp_path / "conll03" / "test.jsonl", [{"text": "Ada .", "spans": spans}])
    dataset = find_dataset(tmp_path, "conll03")
    assert read_documents(dataset, 1).labels == ("PER", "LOC", "ORG", "MISC")
    shipped = read_documents(dataset, 1, for_adapter=True)
    assert shipped.labels == ("PER", "ORG", "LOC", "MISC")
    spans[0]["label"] = "HERO"
    write(tmp_path / "conll03" / "test.jsonl", [{"text": "Ada .", "spans": spans}])
    assert read_documents(dataset, 1).labels == ("HERO",)


def test_sets_are_read_once_a_text(shared_data):
    from harness.datasets import find_dataset
    from harness.documents import read_documents

    for name, n_labels in (("conll03", 4), ("weibo", 8)):
        documents = read_documents(find_dataset(shared_data, name), 20)
        assert len(documents) == len(set(documents.texts)) == 20
        assert len(documents.labels) == n_labels
        assert documents.n_mentions > 10


@pytest.mark.parametrize("natural", [False, True])
def test_adapter_documents_have_the_adapters_labels(natural):
    from harness.gold_docs import drop_unannotated, to_adapter_doc, without_annotation
    from spacy.tokens import Span

    text = "Ada left Rome ."
    spans = [
        {"start": 0, "end": 3, "label": "person"},
        {"start": 9, "end": 13, "label": "product"},
    ]
    vocab = spacy.blank("en").vocab
    record = {"text": text, "spans": spans}
    doc = to_adapter_doc(record, {"person": "human"}, vocab, natural=natural)
    assert doc.text_with_ws == ("Ada left Rome. " if natural else "Ada left Rome . ")
    assert [(ent.text, ent.label_) for ent in doc.ents] == [("Ada", "human")]
    other = without_annotation(doc)
    assert other.text == doc.text
    assert not other.ents
    other.set_ents([Span(other, 0, 1, "human"), Span(other, 2, 3, "place")])
    assert [ent.label_ for ent in drop_unannotated(other, doc).ents] == ["human"]


def test_same_results_are_compared(tmp_path, taught, capsys):
    import same_results
    from support.pipelines import TEXTS

    rows = [{"set": "x", **row} for row in same_results.decode(taught, list(TEXTS), "padellm_ner")]
    assert sum(len(row["spans"]) for row in rows) > 2
    assert all(len(row["scores"]) == len(row["spans"]) for row in rows)
    first = next(i for i, row in enumerate(rows) if len(row["spans"]) > 1)

    def compare(change):
        new = json.loads(json.dumps(rows))
        change(new[first])
        for name, part in (("a", rows), ("b", new)):
            srsly.write_json(tmp_path / f"{name}.json", part)
        same_results.compare(tmp_path / "a.json", tmp_path / "b.json", 1e-6)

    compare(lambda row: row)
    compare(lambda row: row["scores"].__setitem__(0, row["scores"][0] - 1e-8))
    assert "same spans in the same order" in capsys.readouterr().out
    for change in (
        lambda row: row["scores"].__setitem__(0, row["scores"][0] - 1e-3),
        lambda row: row["spans"].reverse(),
        lambda row: row["ents"].pop(),
        lambda row: row["scores"].pop(),
        lambda row: row.update(text="another"),
    ):
        with pytest.raises(SystemExit):
            compare(change)


def test_two_commands_run_by_turns(tmp_path, capsys):
    import by_turns

    log, result = tmp_path / "log", tmp_path / "result.json"
    srsly.write_json(result, {"figures": {"s": 4}})
    printed = f"\x1b[38;5;4mℹ Wrote\n{result}\x1b[0m"  # as wasabi colours and wraps it
    before = f"echo before >> {log}; echo '{printed}'"
    after = f"echo after >> {log}; echo noise; echo '{json.dumps({'figures': {'s': 1}})}'"
    by_turns.main(before, after, ["figures.s"], 3)
    assert log.read_text().split() == ["before", "after", "after", "before", "before", "after"]
    printed = capsys.readouterr().out
    assert "4 / 4 / 4" in printed
    assert "0.250" in printed
    with pytest.raises(SystemExit):
        by_turns.main(before, after, ["figures.docs"], 1)
    assert "There is no 'docs'" in capsys.readouterr().out
