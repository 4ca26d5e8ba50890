from dataclasses import replace
from types import SimpleNamespace

import pytest
import spacy
from spacy.training.batchers import configure_minibatch, configure_minibatch_by_words
from support.gold_trees import gold_trees
from support.pipelines import LABELS, gold_examples

from spacy_padellm.corpus.batches import Passes, Shape, count_batches, estimate_memory
from spacy_padellm.decoding.decoder import batches

SHAPE = Shape(576, 30, 576, 1536, 49152, 134_515_008, 4_884_480, lora=True, dropout=True)


def count(sizes, batcher, accumulate=1, budget=1000):
    """Of examples that are only their sizes."""
    examples = [SimpleNamespace(predicted="x" * size) for size in sizes]

    def measure(example):
        return [(length(example), length(example) // 10)] if length(example) else []

    return count_batches(examples, measure, batcher, accumulate, {"gpu": budget})


def length(example):
    return len(example.predicted)


def test_batches_are_split_as_the_component_splits_them():
    counted = count([30, 50, 90, 10], configure_minibatch(3), budget=100)
    passes = counted.passes["gpu"]
    assert (counted.batches, passes.passes) == (2, 3)  # 30 + 50, 90; 10
    assert (passes.tokens, passes.targets, passes.longest) == (90, 9, 90)
    assert sum(1 for _ in batches([30, 50, 90], 100)) == 2


def test_gradient_accumulation_splits_first():
    counted = count([30, 50, 90, 10], configure_minibatch(4), accumulate=2)
    passes = counted.passes["gpu"]
    assert (counted.batches, passes.passes, passes.tokens) == (1, 2, 140)  # the shorter half first


def test_examples_without_a_tree():
    counted = count([0, 0, 40], configure_minibatch(2))
    passes = counted.passes["gpu"]
    assert (counted.batches, passes.passes, passes.tokens) == (2, 1, 40)


def test_what_the_batcher_leaves_out_is_counted():
    batcher = configure_minibatch_by_words(
        size=50, tolerance=0.0, discard_oversize=True, get_length=length
    )
    counted = count([30, 90, 20, 70], batcher)
    assert counted.discarded == 2
    assert counted.passes["gpu"].tokens == 50


@pytest.mark.parametrize("half", [False, True])
def test_estimate_has_parts_that_add_up(half):
    estimate = estimate_memory(SHAPE, Passes(512, tokens=1000, targets=100, longest=300), 512, half)
    total = estimate.pop("total")
    assert total == sum(estimate.values())
    assert estimate["weights"] == SHAPE.parameters * (2 if half else 4)
    assert estimate["gradients_and_optimizer"] == SHAPE.trained * 16


def test_all_weights_cost_more_than_an_adapter():
    sizes = Passes(512, tokens=1000, targets=100, longest=300)
    whole = replace(SHAPE, trained=SHAPE.parameters, lora=False, dropout=False)
    adapter = estimate_memory(SHAPE, sizes, 512, half=True)
    full = estimate_memory(whole, sizes, 512, half=True)
    assert full["weights"] == 3 * adapter["weights"]
    assert full["total"] > adapter["total"]


@pytest.mark.weights
@pytest.mark.slow
@pytest.mark.parametrize("dropout", [0.0, 0.05])
def test_estimate_of_what_backward_keeps_is_near_what_autograd_keeps(dropout):
    import torch

    from spacy_padellm.model.settings import ModelSettings
    from spacy_padellm.model.shim import CausalLMShim
    from spacy_padellm.prompts.prompt import make_prompt
    from spacy_padellm.prompts.tree_builder import TreeBuilder

    adapter = {"r": 16, "lora_dropout": dropout}
    model = CausalLMShim(ModelSettings("smollm2-135m", adapter, "cpu", "float32")).load()
    builder = TreeBuilder(model.codec, make_prompt("en"))
    trees = gold_trees(gold_examples(spacy.blank("en")) * 2, LABELS, builder)
    weights = {p.untyped_storage().data_ptr() for p in model.network.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes(), tensor  # alive, so that no address recurs
        return tensor

    model.network.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.nll(trees)
    measured = sum(size for size, _ in kept.values())
    sizes = Passes(
        budget=512,
        tokens=sum(map(len, trees)),
        targets=sum(tree.n_targets for tree in trees),
        longest=max(map(len, trees)),
    )
    shape = replace(SHAPE, dropout=dropout > 0)
    row = sizes.tokens // 2 if sizes.tokens > 512 else sizes.tokens
    estimate = estimate_memory(shape, sizes, row, half=False)
    # autograd keeps one copy of the logits; the rest of theirs comes with the gradient
    logits = estimate["logits"] / 3
    assert estimate["kept_for_backward"] + logits == pytest.approx(measured, rel=0.1)
