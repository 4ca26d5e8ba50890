"""Training on corpora that are unlike others: each is learnt from, or refused with a reason."""

import pytest
import spacy
import srsly
import torch
from spacy.tokens import DocBin
from support.pipelines import GOLD, LABELS, TEXTS, WINDOW, found, ner_of
from support.recipes import LEARN, docs_of, recipe, run, steps
from typer.testing import CliRunner

from spacy_padellm.cli import app

pytest_plugins = ["support.pipeline_fixtures"]

LONG = "Bo was in Oslo. " * 60


def model(folder, name="model-last"):
    return spacy.load(folder / "training" / name)


def test_empty_dev_set(tiny_base, tmp_path):
    """spaCy then has no score to choose by: each checkpoint is as good as the best."""
    config = recipe("en_lora", tiny_base, tmp_path, docs_of(GOLD), dev=[])
    _, printed = run(config, tmp_path)
    assert steps(printed) == [0, 2, 4]
    best, last = model(tmp_path, "model-best"), model(tmp_path)
    assert best.meta["performance"]["padellm_f"] == 0.0
    weights = [ner_of(nlp).shim.load().network.state_dict() for nlp in (best, last)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_no_spans_at_all(tiny_base, tmp_path):
    docs = docs_of([(text, []) for text in TEXTS])
    message = r"no labels, so there is nothing to prompt for\. Give them"
    with pytest.raises(ValueError, match=message):
        run(recipe("en_lora", tiny_base, tmp_path, docs), tmp_path)
    srsly.write_json(tmp_path / "labels.json", LABELS)  # that there is nothing can be learnt
    nlp, printed = run(recipe("en_lora", tiny_base, tmp_path, docs), tmp_path)
    assert steps(printed) == [0, 2, 4]
    assert ner_of(nlp).labels == tuple(LABELS)
    assert model(tmp_path).meta["performance"]["padellm_ner_loss"] > 0


def test_documents_without_annotation(tiny_base, tmp_path):
    """Missing annotation is not "no entities": nothing is learnt of it."""
    docs = [spacy.blank("en").make_doc(text) for text in TEXTS]
    srsly.write_json(tmp_path / "labels.json", LABELS)
    run(recipe("en_lora", tiny_base, tmp_path, docs, dev=docs_of(GOLD)), tmp_path)
    assert model(tmp_path).meta["performance"]["padellm_ner_loss"] == 0.0


@pytest.mark.parametrize("n_labels", [1, 60])
def test_number_of_labels(tiny_base, tmp_path, n_labels):
    words = [f"{number:02}" for number in range(n_labels)]
    entities = [(3 * n, 3 * n + 2, f"label {n:02}") for n in range(n_labels)]
    docs = docs_of([(" ".join(words), entities)])
    config = recipe("en_lora", tiny_base, tmp_path, docs, training__max_steps=2)
    nlp, _ = run(config, tmp_path)
    assert ner_of(nlp).labels == tuple(label for _, _, label in entities)
    performance = model(tmp_path).meta["performance"]
    assert set(performance["padellm_per_type"]) == set(ner_of(nlp).labels)
    assert performance["padellm_ner_loss"] > 0


@pytest.mark.parametrize("part", ["train", "dev"])
def test_document_longer_than_the_window(tiny_base, tmp_path, part):
    """It is learnt and scored in windows, none of which counts what it does not hold."""
    corpora = {"train": docs_of(GOLD), "dev": docs_of(GOLD)}
    gold = [(start, start + 2, "person") for start in range(0, len(LONG), len(LONG) // 60)]
    (long,) = docs_of([(LONG, gold)])
    corpora[part].append(long)
    config = recipe("en_lora", tiny_base, tmp_path, corpora["train"], dev=corpora["dev"])
    nlp, printed = run(config, tmp_path)
    assert steps(printed) == [0, 2, 4]
    ner = ner_of(nlp)
    (prediction,) = ner.decode([nlp.make_doc(LONG)])
    assert len(prediction.parts) > len(LONG) // WINDOW


def test_overlapping_gold(tiny_base, tmp_path):
    """All of it is in doc.spans, which is logged; trained on is doc.ents, the longest of each."""
    text = "Bank of Rome met Bo."
    record = {
        "text": text,
        "spans": [
            {"start": 0, "end": 12, "label": "person"},
            {"start": 8, "end": 12, "label": "place"},
            {"start": 17, "end": 19, "label": "person"},
        ],
    }
    srsly.write_jsonl(tmp_path / "gold.jsonl", [record])
    arguments = ["convert", tmp_path / "gold.jsonl", tmp_path / "gold.spacy"]
    converted = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert converted.exit_code == 0, converted.output
    assert "1 mentions overlap others" in converted.output
    docs = list(DocBin().from_disk(tmp_path / "gold.spacy").get_docs(spacy.blank("en").vocab))
    assert len(docs[0].spans["gold"]) == 3

    config = recipe(
        "en_lora",
        tiny_base,
        tmp_path,
        docs,
        training__eval_frequency=80,
        **LEARN,
    )
    run(config, tmp_path)
    assert found(model(tmp_path)(text)) == [(0, 12, "person"), (17, 19, "person")]
