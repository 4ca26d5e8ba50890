import copy

import pytest
import spacy
import torch
from support.pipelines import (
    GOLD,
    LABELS,
    LORA,
    TEXTS,
    blank_pipeline,
    example,
    found,
    gold_examples,
    ner_of,
    same_annotation,
    teach,
)
from support.trained_weights import parameters, same_weights, weights

pytest_plugins = ["support.pipeline_fixtures"]


# --- learning by heart, and keeping it ---


@pytest.mark.parametrize("adapter", [LORA, None], ids=["adapter", "all weights"])
def test_overfitting_io(tiny_base, tmp_path, adapter):
    """As spaCy's own components are tested: learn by heart, save, load, predict the same."""
    nlp = blank_pipeline(tiny_base, adapter)
    losses = teach(nlp, rate=1e-2 if adapter else 3e-3)
    assert losses[-1] < 0.05 < losses[0]
    docs = list(nlp.pipe(TEXTS))
    assert [found(doc) for doc in docs] == [entities for _, entities in GOLD]
    scores = nlp.evaluate(gold_examples(nlp))
    assert scores["ents_f"] == scores["padellm_f"] == pytest.approx(1.0)

    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    assert same_annotation(loaded.pipe(TEXTS), docs, 1e-5)
    assert loaded.evaluate(gold_examples(loaded))["padellm_f"] == pytest.approx(1.0)

    loaded.to_disk(tmp_path / "again")
    assert same_annotation(spacy.load(tmp_path / "again").pipe(TEXTS), docs, 1e-5)


def test_training_goes_on_after_loading(taught_folder):
    nlp = spacy.load(taught_folder)
    optimizer = nlp.resume_training()
    optimizer.learn_rate = 1e-2
    new = [example(nlp, "Cy was in Bonn.", [(0, 2, "person"), (10, 14, "place")])]
    before = weights(nlp)
    for _ in range(40):
        nlp.update([*gold_examples(nlp), *new], sgd=optimizer)
    assert found(nlp("Cy was in Bonn.")) == [(0, 2, "person"), (10, 14, "place")]
    changed = {name for name, value in weights(nlp).items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if "lora_" in name}


def test_a_new_adapter_saved_before_training_is_still_to_be_trained(tiny_base, tmp_path):
    """`nlp.to_disk` before the weights were ever loaded must not forget the adapter's settings."""
    blank_pipeline(tiny_base, LORA).to_disk(tmp_path / "new")
    nlp = spacy.load(tmp_path / "new")
    nlp.initialize()
    assert parameters(nlp)
    assert all("lora_" in name for name in parameters(nlp))
    teach(nlp, steps=1)
    assert all("lora_" in name for name in parameters(nlp))


def test_all_weights_go_to_disk_only(tiny_base, tmp_path):
    nlp = blank_pipeline(tiny_base, None)
    teach(nlp, steps=2)
    with pytest.raises(ValueError, match="Save the pipeline with to_disk"):
        nlp.to_bytes()
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    assert same_weights(weights(loaded), weights(nlp))
    with pytest.raises(ValueError, match="Save the pipeline with to_disk"):
        loaded.to_bytes()


def test_all_weights_may_be_saved_over_themselves(tiny_base, tmp_path):
    nlp = blank_pipeline(tiny_base, None)
    teach(nlp, steps=2)
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    loaded.to_disk(tmp_path / "saved")
    teach(loaded, steps=2)
    after = weights(loaded)
    loaded.to_disk(tmp_path / "saved")
    assert same_weights(weights(loaded), after)
    assert same_weights(weights(spacy.load(tmp_path / "saved")), after)


@pytest.mark.weights
@pytest.mark.slow
def test_default_base_learns(assembled):
    """A few steps on the shipped adapter teach the real base a name that it does not know."""
    nlp = spacy.load(assembled)
    text = "The zorblat Quux hums."
    ner_of(nlp).add_label("gadget")
    gold = [example(nlp, text, [(12, 16, "gadget")])]
    optimizer = nlp.resume_training()
    optimizer.learn_rate = 2e-3
    losses = [nlp.update(gold, sgd=optimizer)["padellm_ner"] for _ in range(12)]
    assert losses[-1] < 0.1 < losses[0]
    assert found(nlp(text)) == [(12, 16, "gadget")]


# --- spaCy's training ---


def test_spacy_train(tiny_base, tmp_path):
    """`spacy train` on a small corpus: the best model is written, with all scores in its meta."""
    from spacy.tokens import DocBin
    from spacy.training.initialize import init_nlp
    from spacy.training.loop import train

    # before it has learnt anything, the model would generate many long mentions
    decoder = {"@misc": "spacy-padellm.tree_decoder.v1", "max_count": 2, "max_mention_tokens": 12}
    nlp = blank_pipeline(tiny_base, LORA, labels=[], decoder=decoder)
    gold = DocBin(docs=[eg.reference for eg in gold_examples(nlp)])
    gold.to_disk(tmp_path / "gold.spacy")
    config = copy.deepcopy(nlp.config)
    gold_path = str(tmp_path / "gold.spacy")
    config["paths"].update(train=gold_path, dev=gold_path)
    config["training"].update(max_steps=60, eval_frequency=30, dropout=0.0)
    config["training"]["optimizer"] = {
        "@optimizers": "Adam.v1",
        "learn_rate": 0.01,
        "use_averages": False,
        "grad_clip": 0.0,
    }
    trained = init_nlp(config)
    assert list(ner_of(trained).labels) == LABELS
    (tmp_path / "out").mkdir()
    train(trained, tmp_path / "out")
    best = spacy.load(tmp_path / "out/model-best")
    assert best.meta["performance"]["ents_f"] == pytest.approx(1.0)
    assert best.meta["performance"]["padellm_f"] == pytest.approx(1.0)
    assert set(best.meta["performance"]["ents_per_type"]) == set(LABELS)
    assert set(best.meta["performance"]["padellm_per_type"]) == set(LABELS)
    assert [found(doc) for doc in best.pipe(TEXTS)] == [entities for _, entities in GOLD]
