import copy

import pytest
import spacy
import srsly
import torch
from spacy.cli._util import app as spacy_app
from spacy.language import Language
from spacy.training.initialize import init_nlp
from spacy.util import load_config
from support.pipelines import (
    GOLD,
    LABELS,
    LORA,
    ROOT,
    TEXTS,
    blank_pipeline,
    found,
    gold_examples,
    ner_of,
    teach,
)
from support.recipes import LEARN, docs_of, recipe, run, steps
from typer.testing import CliRunner

pytest_plugins = ["support.pipeline_fixtures"]

ZH_GOLD = [
    ("李白住在长安。", [(0, 2, "人名"), (4, 6, "地名")]),
    ("今天没有雨。", []),
]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def trained_weights(nlp):
    network = ner_of(nlp).shim.load().network
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("name", ["en_lora", "en_full", "zh_lora", "zh_full"])
def test_recipe_trains(tiny_base, tmp_path, name):
    gold = GOLD if name.startswith("en") else ZH_GOLD
    docs = docs_of(gold, name[:2])
    nlp, printed = run(recipe(name, tiny_base, tmp_path, docs), tmp_path)
    assert steps(printed) == [0, 2, 4]
    assert {"PADELLM_F", "ENTS_F"} <= set(printed.split())
    assert set(ner_of(nlp).labels) == {label for _, ents in gold for _, _, label in ents}
    parameters = ner_of(nlp).shim.load().network.named_parameters()
    assert all(p.requires_grad == (name.endswith("full") or "lora_" in n) for n, p in parameters)
    for model in ("model-last", "model-best"):
        loaded = spacy.load(tmp_path / "training" / model)
        assert loaded.meta["performance"]["padellm_ner_loss"] > 0
        assert len(list(loaded.pipe(text for text, _ in gold))) == len(gold)
    assert names(tmp_path / "training") == ["model-best", "model-last"]


def test_recipe_learns(tiny_base, tmp_path):
    config = recipe(
        "en_lora",
        tiny_base,
        tmp_path,
        docs_of(GOLD),
        training__eval_frequency=40,
        **LEARN,
    )
    run(config, tmp_path)
    best = spacy.load(tmp_path / "training/model-best")
    assert best.meta["performance"]["padellm_f"] == pytest.approx(1.0)
    assert [found(doc) for doc in best.pipe(TEXTS)] == [entities for _, entities in GOLD]


def test_early_stopping(tiny_base, tmp_path):
    """Nothing is learnt at rate 0, so the first score stays the best."""
    config = recipe(
        "en_lora",
        tiny_base,
        tmp_path,
        docs_of(GOLD),
        training__max_steps=1000,
        training__patience=4,
        training__optimizer__learn_rate__initial_rate=0.0,
    )
    _, printed = run(config, tmp_path)
    assert steps(printed) == [0, 2, 4]


def test_init_labels(tiny_base, tmp_path):
    """What `spacy init labels` wrote is read: its order, and labels that a later corpus has not."""
    config = recipe("en_lora", tiny_base, tmp_path, docs_of(GOLD))
    config.to_disk(tmp_path / "config.cfg")
    arguments = ["init", "labels", tmp_path / "config.cfg", tmp_path / "labels"]
    result = CliRunner().invoke(spacy_app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    written = tmp_path / "labels/padellm_ner.json"
    assert srsly.read_json(written) == LABELS

    for labels in (LABELS, ["place", "vessel", "person"]):
        srsly.write_json(written, labels)
        config = recipe(
            "en_lora", tiny_base, tmp_path, docs_of(GOLD[1:2]), paths__labels=str(written)
        )
        assert ner_of(init_nlp(config)).labels == tuple(labels)


def test_labels_of_the_recipes_are_where_init_labels_writes_them():
    config = load_config(ROOT / "configs/en_lora.cfg")
    assert config["paths"]["labels"] == "corpus/labels/padellm_ner.json"
    assert config["initialize"]["components"]["padellm_ner"]["labels"]["path"] == "${paths.labels}"


# --- with other components ---


class Witness:
    """Keeps what the components before it set on the documents that it is to learn from."""

    def __init__(self):
        self.seen = []

    def __call__(self, doc):
        return doc

    def update(self, examples, **kwargs):
        self.seen += [found(eg.predicted) for eg in examples]


@Language.factory("witness")
def make_witness(nlp, name):
    return Witness()


def with_components(config, components, **training):
    config = copy.deepcopy(config)
    config["nlp"]["pipeline"] = list(components)
    config["components"] = components
    config["initialize"]["components"] = {}
    config["training"].update(training)
    return config


def test_frozen_and_annotating(taught_folder, tiny_base, tmp_path):
    """Frozen, the component stays as it is, and others learn from what it finds."""
    config = with_components(
        recipe("en_lora", tiny_base, tmp_path, docs_of(GOLD)),
        {"padellm_ner": {"source": str(taught_folder)}, "witness": {"factory": "witness"}},
        frozen_components=["padellm_ner"],
        annotating_components=["padellm_ner"],
    )
    before = trained_weights(spacy.load(taught_folder))
    nlp, _ = run(config, tmp_path)
    assert set(map(tuple, nlp.get_pipe("witness").seen)) == {tuple(ents) for _, ents in GOLD}
    after = trained_weights(spacy.load(tmp_path / "training/model-last"))
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("annotating", [["padellm_ner"], []])
def test_trained_and_annotating(taught_folder, tiny_base, tmp_path, annotating):
    config = with_components(
        recipe("en_lora", tiny_base, tmp_path, docs_of(GOLD)),
        {"padellm_ner": {"source": str(taught_folder)}, "witness": {"factory": "witness"}},
        annotating_components=annotating,
    )
    nlp, _ = run(config, tmp_path)
    assert any(nlp.get_pipe("witness").seen) == bool(annotating)


def test_frozen_beside_a_component_in_training(taught_folder, tiny_base, tmp_path):
    """Another component is trained, and the frozen one keeps finding what it found."""
    config = with_components(
        recipe("en_lora", tiny_base, tmp_path, docs_of(GOLD)),
        {"sentencizer": {"factory": "sentencizer"}, "padellm_ner": {"source": str(taught_folder)}},
        annotating_components=["sentencizer"],
        frozen_components=["padellm_ner"],
    )
    run(config, tmp_path)
    loaded = spacy.load(tmp_path / "training/model-best")
    assert [found(doc) for doc in loaded.pipe(TEXTS)] == [entities for _, entities in GOLD]


def test_sourced(taught_folder, tiny_base, tmp_path):
    """Training goes on from another pipeline's adapter."""
    config = with_components(
        recipe("en_lora", tiny_base, tmp_path, docs_of(GOLD)),
        {"padellm_ner": {"source": str(taught_folder)}},
    )
    before = trained_weights(spacy.load(taught_folder))
    nlp, printed = run(config, tmp_path)
    first = next(line for line in printed.splitlines() if line.split()[:2] == ["0", "0"])
    assert first.endswith("1.00")  # known before anything was learnt
    after = trained_weights(nlp)
    changed = {name for name in before if not torch.equal(after[name], before[name])}
    assert changed
    assert all("lora_" in name for name in changed)


def test_loss_that_is_not_finite(tiny_base, tmp_path):
    """A rate that is far too high: the batch is named, and the last good checkpoint is kept."""
    config = recipe(
        "en_lora",
        tiny_base,
        tmp_path,
        docs_of(GOLD),
        training__eval_frequency=100,
        training__max_steps=100,
        training__optimizer__learn_rate__initial_rate=1e30,
    )
    message = r"loss is nan, so nothing was learnt from this batch.*Its documents: .*Bo likes Oslo"
    with pytest.raises(ValueError, match=message):
        run(config, tmp_path)
    assert names(tmp_path / "training") == ["model-best", "model-last"]
    best, last = (spacy.load(tmp_path / "training" / n) for n in ("model-best", "model-last"))
    good = trained_weights(best)
    assert all(torch.isfinite(value).all() and value.abs().max() < 1e3 for value in good.values())
    assert all(torch.equal(value, good[name]) for name, value in trained_weights(last).items())
    assert len(list(last.pipe(TEXTS))) == len(TEXTS)


def test_adapter_recipe_goes_on(tiny_base, tmp_path):
    """`en_adapter`: the adapter that is named is trained on, not made anew."""
    nlp = blank_pipeline(tiny_base, LORA)
    teach(nlp)
    nlp.to_disk(tmp_path / "taught")
    adapter = tmp_path / "taught/padellm_ner/model"
    corpus = [eg.reference for eg in gold_examples(nlp)]
    config = recipe("en_adapter", tiny_base, tmp_path, corpus, paths__adapter=str(adapter))
    _, printed = run(config, tmp_path)
    first = next(line for line in printed.splitlines() if line.split()[:2] == ["0", "0"])
    assert first.endswith("1.00")
