"""What both autoregressive decoders share: training prompts, greedy decoding, log-probabilities."""

import numpy as np
import pytest
import torch
from support.answers import builder_of
from support.autoregressive import CUES, answers, plain_prompt
from support.plain_decoding import answer_logprobs, generate_greedily

from spacy_padellm.decoding.augmented import (
    AutoregressiveAugDecoder,
    make_autoregressive_aug_decoder,
)
from spacy_padellm.decoding.struct import (
    AutoregressiveStructDecoder,
    make_autoregressive_struct_decoder,
)
from spacy_padellm.documents.gold import Gold
from spacy_padellm.engine.language_model import LanguageModel
from spacy_padellm.engine.runner import Runner
from spacy_padellm.prompts.prompt import make_prompt
from spacy_padellm.prompts.tree import NO_TARGET
from spacy_padellm.prompts.tree_builder import TreeBuilder

pytest_plugins = ["support.pipeline_fixtures"]

DECODERS = [AutoregressiveStructDecoder, AutoregressiveAugDecoder]
MAKERS = list(zip([make_autoregressive_struct_decoder, make_autoregressive_aug_decoder], DECODERS))
NAMES = {"struct": DECODERS[0], "aug": DECODERS[1]}
LABELS = ["person", "place"]
ADA = Gold("Ada\nByron met 北京.", ("PER", "LOC"), ((0, 9, "PER"), (14, 16, "LOC")))
ANSWERS = {
    AutoregressiveStructDecoder: "person: Ada Byron\nplace: 北京\n\n",
    AutoregressiveAugDecoder: "<person>Ada Byron</person> met <place>北京</place>.\n",
}
DEFINITIONS = {"PER": "person", "LOC": "place"}


@pytest.fixture(params=DECODERS, ids=NAMES)
def kind(request):
    return request.param


@pytest.mark.parametrize(("make", "made"), MAKERS)
def test_parameters_are_those_of_the_other_decoders(make, made):
    assert make() == made(99, 64, None)
    assert make(max_count=3, max_mention_tokens=4, batch_tokens=5) == made(3, 4, 5)
    with pytest.raises(ValueError, match="max_count must be an integer from 1, not 0"):
        make(max_count=0)


# --- what is trained ---


def target_text(tree, codec):
    return codec.tokenizer.decode(tree.target[tree.target != NO_TARGET])


def test_a_gold_tree_is_one_question_with_its_answer(kind, toy_codec):
    builder = builder_of(toy_codec, DEFINITIONS)
    (tree,) = kind().gold_trees(builder, [ADA])
    assert target_text(tree, toy_codec) == ANSWERS[kind]
    question = f"text:\nAda\nByron met 北京.\nentity type:\nperson\nplace{CUES[kind]}"
    assert toy_codec.tokenizer.decode(tree.ids) == question + ANSWERS[kind][:-1]
    assert tree.position.tolist() == list(range(len(tree)))
    asked = np.flatnonzero(tree.target != NO_TARGET)
    assert tree.target[asked][:-1].tolist() == tree.ids[asked[1:]].tolist()
    assert asked.tolist() == list(range(asked[0], len(tree)))
    assert tree.target[-1] == toy_codec.end_id


def test_decoding_asks_what_was_trained(kind, toy_codec):
    builder = builder_of(toy_codec, DEFINITIONS)
    (gold,) = kind().gold_trees(builder, [ADA])
    (asked,) = kind().question_trees(builder, [ADA.text], ADA.labels)
    n = len(asked)
    assert gold.ids[:n].tolist() == asked.ids.tolist()
    assert (gold.target[: n - 1] == NO_TARGET).all()
    assert (gold.target[n - 1 :] != NO_TARGET).all()
    assert asked.n_targets == 0


def test_only_labels_that_a_document_answers_for_are_asked(kind, toy_codec):
    part = Gold("Bo", ("LOC",), (), complete=False)
    one, other = kind().gold_trees(builder_of(toy_codec, DEFINITIONS), [part, ADA])
    assert f"entity type:\nplace{CUES[kind]}" in toy_codec.tokenizer.decode(one.ids)
    assert target_text(one, toy_codec) == ("\n" if kind is DECODERS[0] else "Bo\n")
    assert target_text(other, toy_codec) == ANSWERS[kind]
    assert kind().gold_trees(builder_of(toy_codec), []) == []


@pytest.mark.parametrize("option", ["both_ways", "echo", "tag_text"])
def test_options_of_the_prompt(kind, toy_codec, option):
    prompt = make_prompt(label_definitions=DEFINITIONS, **{option: True})
    builder = TreeBuilder(toy_codec, prompt)
    (tree,) = kind().gold_trees(builder, [ADA])
    branch = tree.label == 1
    own = tree.target[branch & (tree.target != NO_TARGET)]
    assert toy_codec.tokenizer.decode(own) == ANSWERS[kind]
    assert (tree.horizon > tree.position).any() == (option == "both_ways")
    assert toy_codec.tokenizer.decode(tree.ids).count("text:\n") == 1 + (option == "echo")
    assert (tree.target[~branch] != NO_TARGET).any() == (option == "tag_text")


def test_loss_is_that_of_a_plain_pass(kind, tiny_model, toy_codec):
    model = tiny_model("llama")
    (tree,) = kind().gold_trees(builder_of(toy_codec, DEFINITIONS), [ADA])
    with torch.inference_mode():
        logits = model.network(input_ids=torch.tensor(tree.ids)[None]).logits[0]
        nll = model.nll([tree])
    asked = np.flatnonzero(tree.target != NO_TARGET)
    expected = -logits.log_softmax(-1)[asked, tree.target[asked]]
    torch.testing.assert_close(nll, expected, atol=1e-4, rtol=1e-4)


def test_a_text_longer_than_the_window(kind, toy_codec):
    builder = builder_of(toy_codec, DEFINITIONS, max_positions=60)
    with pytest.raises(ValueError, match=r"needs \d+ positions .* the model has 60"):
        kind().question_trees(builder, ["x" * 60], ["PER"])
    with pytest.raises(ValueError, match=r"needs \d+ positions .* the model has 60"):
        kind().gold_trees(builder, [ADA])


# --- what is said ---


def check_against_transformers(kind, model, builder, texts, labels, **bounds):
    """Greedy generation by transformers, text by text, and one pass over all that was said."""
    network, tokenizer = model.network, model.codec.tokenizer
    said = answers(kind, model, builder, texts, labels, **bounds)
    for text, answer in zip(texts, said, strict=True):
        prompt = plain_prompt(tokenizer, kind, text, labels)
        generated = generate_greedily(network, prompt, len(answer.ids) + answer.ended)
        assert generated[: len(answer.ids)] == answer.ids
        expected = answer_logprobs(network, prompt, answer.ids)
        assert answer.logprobs == pytest.approx(expected, abs=1e-3)
    return said


TINY_TEXTS = ["a", "the longest of all these texts by far", "北京", "in the", "num " * 6]


@pytest.mark.parametrize("name", ["llama", "qwen3", "gpt_neo"])
def test_decoding_is_plain_greedy_decoding(kind, name, tiny_model, toy_builder):
    """With a KV cache, and anew at each step for a model that takes no path masks."""
    model = tiny_model(name)
    assert model.supports_tree_mask == (name != "gpt_neo")
    said = check_against_transformers(
        kind, model, toy_builder, TINY_TEXTS, LABELS, max_count=2, max_mention_tokens=4
    )
    assert sum(len(one.ids) for one in said) > 40
    if kind is AutoregressiveAugDecoder:  # the bound of the list's lines is the same for all
        assert len({len(one.ids) for one in said}) > 2


@pytest.mark.weights
def test_decoding_of_the_default_base_is_plain_greedy_decoding(kind, real_model, causal_builder):
    texts = ["Marie Curie worked in Paris.", "It rained.", "马云出生在杭州。"]
    said = check_against_transformers(
        kind, real_model, causal_builder, texts, LABELS, max_count=2, max_mention_tokens=6
    )
    assert sum(len(one.ids) for one in said) > 5


@pytest.mark.parametrize("name", ["mistral", "gemma3_text", "mpt"])
def test_a_text_does_not_depend_on_its_batch(kind, name, tiny_model, toy_builder):
    model = tiny_model(name)
    texts = [*TINY_TEXTS, "", " \n"]
    bounds = {"max_count": 3, "max_mention_tokens": 5}
    together = kind(**bounds)(Runner(model), toy_builder, texts, LABELS)
    alone = kind(**bounds, batch_tokens=1)(Runner(model), toy_builder, texts[::-1], LABELS)[::-1]
    for one, other in zip(together, alone, strict=True):
        assert one.malformed == other.malformed
        assert one.ended == other.ended
        assert [(m.label, m.index, m.text) for m in one.mentions] == [
            (m.label, m.index, m.text) for m in other.mentions
        ]
    separate = [
        answers(kind, model, toy_builder, [text], LABELS, **bounds)[0] for text in TINY_TEXTS
    ]
    joined = answers(kind, model, toy_builder, TINY_TEXTS, LABELS, **bounds)
    for one, other in zip(joined, separate, strict=True):
        assert one.ids == other.ids
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def test_cached_and_recomputed_rows_say_the_same(kind, tiny_network, toy_codec, toy_builder):
    network = tiny_network("llama")
    cached, recomputed = (
        answers(kind, LanguageModel(network, toy_codec, paths), toy_builder, TINY_TEXTS, LABELS)
        for paths in (True, False)
    )
    for one, other in zip(cached, recomputed, strict=True):
        assert one.ids == other.ids
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def test_blank_texts_are_not_asked(kind, tiny_model, toy_builder):
    for prediction in kind()(Runner(tiny_model("llama")), toy_builder, ["", " \n"], LABELS):
        assert [(count.label, count.number) for count in prediction.counts] == [
            ("person", 0),
            ("place", 0),
        ]
        assert prediction.mentions == ()
    assert kind()(Runner(tiny_model("llama")), toy_builder, [], LABELS) == []
