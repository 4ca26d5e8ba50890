"""Autoregressive decoders in a component: they learn, save and load, and score what they decode."""

import math

import pytest
import spacy
import torch
from support.autoregressive import answers, plain_prompt
from support.pipelines import (
    GOLD,
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

from spacy_padellm.decoding.augmented import (
    AutoregressiveAugDecoder,
)
from spacy_padellm.decoding.struct import (
    AutoregressiveStructDecoder,
)
from spacy_padellm.decoding.token_alignment import TokenAlignment

pytest_plugins = ["support.pipeline_fixtures"]

DECODERS = [AutoregressiveStructDecoder, AutoregressiveAugDecoder]
NAMES = {"struct": DECODERS[0], "aug": DECODERS[1]}


def pipeline(base, name, adapter=LORA):
    decoder = {"@misc": f"spacy-padellm.autoregressive_{name}_decoder.v1", "max_count": 4}
    return blank_pipeline(base, adapter, decoder=decoder)


@pytest.mark.parametrize("name", NAMES)
def test_overfitting_io(tiny_base, tmp_path, name):
    """Learn by heart, save, load with the same decoder, say the same."""
    nlp = pipeline(tiny_base, name)
    losses = teach(nlp, steps=120)
    assert losses[-1] < 0.05 < losses[0]
    docs = list(nlp.pipe(TEXTS))
    assert [found(doc) for doc in docs] == [entities for _, entities in GOLD]
    scores = nlp.evaluate(gold_examples(nlp))
    assert scores["ents_f"] == scores["padellm_f"] == pytest.approx(1.0)

    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    assert ner_of(loaded).decoder == NAMES[name](max_count=4)
    assert same_annotation(loaded.pipe(TEXTS), docs, 1e-5)
    check_scores(loaded)


def check_scores(nlp):
    """A mention's log-probabilities are those of the tokens of its text, in one plain pass."""
    ner = ner_of(nlp)
    model, kind = ner.shim.load(), type(ner.decoder)
    tokenizer = model.codec.tokenizer
    predictions = ner.decode([nlp.make_doc(text) for text in TEXTS])
    for (text, entities), prediction in zip(GOLD, predictions, strict=True):
        assert (prediction.malformed, prediction.ended) == (0, True)
        labels = [label for *_, label in entities]
        assert [count.number for count in prediction.counts] == [
            labels.count(label) for label in ner.labels
        ]
        assert all(math.isnan(count.logprob) for count in prediction.counts)
        prompt = plain_prompt(tokenizer, kind, text, ner.labels)
        (answer,) = answers(kind, model, ner.tree_builder(), [text], ner.labels)
        with torch.inference_mode():
            logits = model.network(input_ids=torch.tensor([prompt + answer.ids])).logits[0]
        rows = logits[len(prompt) - 1 : -1].log_softmax(-1)
        logprobs = [float(row[token]) for row, token in zip(rows, answer.ids, strict=True)]
        spoken = TokenAlignment(model.codec, answer.ids).text
        at = 0
        assert len(prediction.mentions) == len(entities)
        for start, end, label in entities:
            mention = next(m for m in prediction.mentions if text[start:end] == m.text)
            assert mention.label == label
            at = spoken.index(mention.text, at)
            # a token of this tokenizer that holds a letter of a name holds no other letter
            own = logprobs[at : at + len(mention.text)]
            assert mention.logprobs == pytest.approx(own, abs=1e-3)


@pytest.mark.weights
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_default_base_learns(name):
    nlp = pipeline("smollm2-135m", name, {"r": 8})
    ner_of(nlp).cfg["labels"] = ["gadget"]
    text = "The zorblat Quux hums."
    gold = [example(nlp, text, [(12, 16, "gadget")])]
    torch.manual_seed(0)
    optimizer = nlp.initialize(lambda: gold)
    optimizer.learn_rate = 3e-3
    losses = [nlp.update(gold, sgd=optimizer)["padellm_ner"] for _ in range(12)]
    assert losses[-1] < 0.1 < losses[0]
    doc = nlp(text)
    assert found(doc) == [(12, 16, "gadget")]
