import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.random_trees import grow

from spacy_padellm.engine.cached_rows import CachedRows
from spacy_padellm.engine.language_model import LanguageModel
from spacy_padellm.engine.recomputed_rows import RecomputedRows
from spacy_padellm.engine.runner import Runner
from spacy_padellm.prompts.tree import NO_TARGET


@pytest.fixture(scope="module")
def llama(tiny_model):
    return tiny_model("llama")


@pytest.fixture(scope="module")
def trees():
    return [grow([(2, [3, 1])], 4, [5, 6, 7]).tree, grow([(1, []), (2, [2])], 9, [8, 9]).tree]


def test_losses_come_in_the_order_of_trees_and_tokens(llama, trees):
    with torch.inference_mode():
        together = llama.nll(trees)
        alone = torch.cat([llama.nll([tree]) for tree in trees])
        logits = llama.tree_logits(trees)
    targets = [t for tree in trees for t in tree.target.tolist() if t != NO_TARGET]
    expected = -logits.log_softmax(-1)[range(len(targets)), targets]
    assert together.dtype == torch.float32
    assert together.shape == (sum(tree.n_targets for tree in trees),)
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.allclose(together, expected, atol=1e-5)


def test_losses_of_answers_are_nats_of_their_prompts(llama, toy_builder):
    """Number, end of the number, mention, end of the mention, by the network alone."""
    (tree,) = toy_builder.gold_trees(["the a"], [{"x": ["a"]}])
    with torch.inference_mode():
        found = llama.nll([tree])
        expected = []
        for prompt in tree.prompts():
            logprobs = llama.network(torch.from_numpy(prompt.ids)[None]).logits[0].log_softmax(-1)
            at = np.flatnonzero(prompt.target != NO_TARGET)
            expected += [-float(logprobs[i, prompt.target[i]]) for i in at]
    assert len(expected) == 4
    assert found.tolist() == pytest.approx(expected, abs=1e-4)


def test_sequence_logits_do_not_feel_the_padding(llama):
    sequences = [[5], [6, 7, 8, 9, 10], [11, 12]]
    where, ends = np.array([1, 0, 2, 1]), np.array([4, 0, 1, 2])
    with torch.inference_mode():
        found = llama.sequence_logits(sequences, where, ends)
        expected = torch.stack(
            [
                llama.network(torch.tensor([sequences[i]])).logits[0, end]
                for i, end in zip(where, ends)
            ]
        )
    assert torch.allclose(found, expected, atol=1e-4)


def test_the_network_is_left_as_it_was(llama, trees):
    """The hook that picks places before the output layer goes, after an error too."""
    ids = torch.tensor([[5, 6, 7]])
    with torch.inference_mode():
        before = llama.network(ids).logits
        llama.nll(trees)
        assert torch.equal(llama.network(ids).logits, before)
        with pytest.raises(IndexError):
            llama.sequence_logits([[5, 6]], np.array([0]), np.array([7]))
        assert torch.equal(llama.network(ids).logits, before)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"max_position_embeddings": 7}, 7),
        ({"n_positions": 8}, 8),
        ({"max_seq_len": 9}, 9),
        ({}, None),
    ],
)
def test_positions_that_the_network_tells_apart(sizes, expected):
    network = SimpleNamespace(config=SimpleNamespace(**sizes))
    assert LanguageModel(network, codec=None).max_positions == expected


def test_rows_are_cached_where_the_network_takes_paths(llama):
    assert isinstance(Runner(llama).start_rows(1, 1), CachedRows)
    fallback = LanguageModel(llama.network, llama.codec, supports_tree_mask=False)
    assert isinstance(Runner(fallback).start_rows(1, 1), RecomputedRows)


def test_an_adapter_wraps_the_base(tiny_network, toy_codec, trees):
    from peft import LoraConfig, get_peft_model

    base = tiny_network("llama")
    plain = LanguageModel(base, toy_codec)
    with torch.inference_mode():
        expected = plain.nll(trees)
    network = get_peft_model(base, LoraConfig(r=2, target_modules="all-linear"))
    model = LanguageModel(network.eval(), toy_codec)
    assert model.base is base
    assert model.config.model_type == "llama"
    assert torch.allclose(model.nll(trees), expected, atol=1e-5)  # a new adapter changes nothing
    for name, parameter in network.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_()
    assert not torch.allclose(model.nll(trees), expected, atol=1e-2)


def test_half_precision_gives_finite_float32_losses(tiny_network, toy_codec, trees):
    model = LanguageModel(tiny_network("llama").to(torch.bfloat16), toy_codec)
    with torch.inference_mode():
        nll = model.nll(trees)
    assert nll.dtype == torch.float32
    assert nll.isfinite().all()


@pytest.mark.weights
def test_the_shipped_model_takes_trees(real_model):
    assert real_model.supports_tree_mask
    assert real_model.base.dtype == torch.float32
    assert real_model.max_positions >= 2048
    assert real_model.network is not real_model.base


@pytest.mark.weights
def test_the_shipped_adapter_has_learnt_the_prompts(real_model, real_builder):
    """Gold answers are likely under the adapter, and not without it."""
    texts = ["Marie Curie was born in Warsaw.", "Apple hired Tim Cook."]
    answers = [
        {"person": ["Marie Curie"], "location": ["Warsaw"], "organisation": []},
        {"person": ["Tim Cook"], "location": [], "organisation": ["Apple"]},
    ]
    trees = real_builder.gold_trees(texts, answers)
    with torch.inference_mode():
        learnt = float(real_model.nll(trees).mean())
        with real_model.network.disable_adapter():
            bare = float(real_model.nll(trees).mean())
    assert math.isfinite(bare)
    assert learnt < 0.2
    assert bare > 1
