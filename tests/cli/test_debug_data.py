import json
import os
import subprocess
import sys

import pytest
import spacy
from spacy.tokens import DocBin, Span
from support.pipelines import GOLD, LABELS, LORA, ROOT, WINDOW
from typer.testing import CliRunner

from spacy_padellm.cli import app

pytest_plugins = ["support.pipeline_fixtures"]

NLP = spacy.blank("en")


def run(*arguments):
    result = CliRunner().invoke(app, ["debug-data", *map(str, arguments)])
    assert "Traceback" not in result.output
    return result.exit_code, " ".join(result.output.split())


def gold(text, spans=()):
    doc = NLP.make_doc(text)
    doc.set_ents([doc.char_span(*span) for span in spans])
    return doc


def write(path, *docs):
    DocBin(docs=docs, store_user_data=True).to_disk(path)
    return path


@pytest.fixture
def corpus(tmp_path):
    """A corpus without faults."""
    write(tmp_path / "train.spacy", *(gold(*document) for document in GOLD))
    write(tmp_path / "dev.spacy", gold("Cleo sees Rome.", [(0, 4, "person"), (10, 14, "place")]))
    return tmp_path


@pytest.fixture
def config(corpus, tiny_base):
    """A training config that leaves all it can to its defaults."""
    path = corpus / "config.cfg"
    path.write_text(
        f"""
[paths]
train = "{corpus / "train.spacy"}"
dev = "{corpus / "dev.spacy"}"

[nlp]
lang = "en"
pipeline = ["padellm_ner"]

[components]

[components.padellm_ner]
factory = "padellm_ner"
labels = []

[components.padellm_ner.model]
@architectures = "spacy-padellm.CausalLM.v1"
name = "{tiny_base}"
adapter = {json.dumps(LORA)}

[corpora]

[corpora.train]
@readers = "spacy.Corpus.v1"
path = ${{paths.train}}

[corpora.dev]
@readers = "spacy.Corpus.v1"
path = ${{paths.dev}}

[training]
train_corpus = "corpora.train"
dev_corpus = "corpora.dev"

[initialize]

[initialize.components]

[initialize.components.padellm_ner]
labels = null
"""
    )
    return path


def numbers(config, *arguments):
    place = config.parent / "out" / "numbers.json"
    code, text = run(config, "--json", place, *arguments)
    assert code == 0, text
    return json.loads(place.read_text()), text


def test_a_corpus_without_faults(config, monkeypatch):
    from spacy_padellm.model import loading

    monkeypatch.setattr(loading, "load_network", lambda *_: pytest.fail("weights were loaded"))
    found, text = numbers(config)
    assert "No warnings" in text
    assert found["labels"] == LABELS
    train = found["train"]
    n_mentions = sum(len(spans) for _, spans in GOLD)
    assert train["documents"] == len(GOLD)
    assert train["mentions"] == n_mentions
    assert train["labels"]["person"] == {
        "mentions": 3,
        "documents": 2,
        "counts": {"0": 2, "1": 1, "2": 1},
    }
    assert train["counts"] == {"0": 4, "1": 3, "2": 1}
    assert train["trees"]["sequences"] == len(LABELS) * len(GOLD) + n_mentions
    assert train["trees"]["ratio"] > 1.5
    assert f"{train['trees']['ratio']:.2f}" in text
    assert found["window"] == WINDOW
    assert found["passes"]["cpu"]["tokens"] == train["trees"]["tokens"]
    assert found["memory"]["cpu"]["total"] > found["memory"]["cpu"]["weights"] > 0


def test_faults_of_gold_are_named(config, corpus):
    from spacy_padellm.training.annotated_labels import ANNOTATED_LABELS

    other = gold("Oslo", [(0, 4, "place")])
    other.user_data[ANNOTATED_LABELS] = ["animal"]
    nested = gold("Bank of Rome", [(0, 12, "person")])
    nested.spans["gold"] = [Span(nested, 0, 3, "person"), Span(nested, 2, 3, "place")]
    long = gold("x " * 2 * WINDOW, [(0, 199, "person"), (400, 401, "person")])
    docs = [gold(*GOLD[0]), NLP.make_doc("Not annotated"), other, nested, long]
    write(corpus / "train.spacy", *docs)
    write(corpus / "dev.spacy", gold(*GOLD[0]), gold("Rex", [(0, 3, "animal")]))
    labels = f"--initialize.components.padellm_ner.labels={json.dumps(LABELS)}"
    found, text = numbers(config, labels)
    assert found["labels"] == LABELS
    assert found["train"]["no_tree"] == {
        "tokens without entity annotation": 1,
        "it answers for none of the labels": 1,
    }
    assert found["train"]["spans"]["gold"] == {"spans": 2, "overlapping": 2, "not_in_ents": 1}
    assert found["train"]["trees"]["too_long"] == 0
    assert found["train"]["trees"]["cut"] == 1
    assert found["train"]["trees"]["in_no_window"] == 1
    assert found["texts_in_train_and_dev"] == 1
    assert found["labels_only_in_dev"] == ["animal"]
    assert found["labels_not_asked"] == ["animal"]
    assert found["labels_without_mentions"] == []
    for warning in (
        "train: 2 documents give no tree",
        "1 of doc.spans['gold'] are not in doc.ents",
        "train: 1 mentions lie whole in no window",
        "1 texts are in both train and dev",
        "Labels with mentions in dev and none in train: ['animal']",
        "Labels of mentions that are no labels of the component: ['animal']",
    ):
        assert warning in text


def test_bounds_of_the_decoder(config, corpus):
    write(corpus / "dev.spacy", gold(*GOLD[0]))
    decoder = {"@misc": "spacy-padellm.tree_decoder.v1", "max_count": 1, "max_mention_tokens": 3}
    decoder["batch_tokens"] = None
    found, text = numbers(config, f"--components.padellm_ner.decoder={json.dumps(decoder)}")
    assert found["above_max_count"] == 1
    assert "dev: 1 labels of documents have more than 1 mentions" in text
    assert found["dev"]["trees"]["long_mentions"] == 1


def test_gold_that_does_not_fit_the_tokens(config, corpus):
    doc = spacy.tokens.Doc(NLP.vocab, words=["Os", "lo"], spaces=[False, False])
    doc.set_ents([Span(doc, 0, 1, "place")])
    write(corpus / "train.spacy", doc)
    found, text = numbers(config)
    assert found["train"]["misaligned"] == 1
    assert "'Os' (place) in 'Oslo'" in text


def test_an_empty_dev_set(config, corpus):
    # spaCy's reader passes over documents without tokens
    write(corpus / "dev.spacy", NLP.make_doc(""))
    found, text = numbers(config)
    assert found["dev"]["documents"] == 0
    assert "dev has no documents" in text


def test_no_mentions_at_all(config, corpus):
    write(corpus / "train.spacy", gold("Nothing here."))
    labels = f"--initialize.components.padellm_ner.labels={json.dumps(LABELS)}"
    found, text = numbers(config, labels)
    assert found["train"]["mentions"] == 0
    assert found["labels_without_mentions"] == LABELS
    assert "Labels without a mention in train" in text


def test_overrides_and_limit(config, corpus):
    found, text = numbers(config, "--paths.train", corpus / "dev.spacy", "--limit", 1)
    assert found["train"]["documents"] == 1
    assert "the first 1 documents" in text
    assert found["texts_in_train_and_dev"] == 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--component", "other"], "no padellm_ner component 'other'"),
        (["--components.padellm_ner.model.name", "no-such-base"], "no-such-base"),
        (["--paths.train", "no/such/file.spacy"], "no/such/file.spacy"),
        (["--components.padellm_ner.threshold", "two"], "threshold"),
    ],
)
def test_what_can_not_be_read_is_one_error(config, arguments, reason):
    code, text = run(config, *arguments)
    assert code == 1
    assert reason in text


def test_it_is_one_of_spacys_commands(config):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "spacy", "padellm", "debug-data", str(config)]
    done = subprocess.run(
        [*command, "--training.max_steps", "5"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Prompt trees" in done.stdout
