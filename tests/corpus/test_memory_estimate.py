from dataclasses import replace

import pytest
import spacy
from support.gold_trees import gold_trees
from support.pipelines import LABELS, gold_examples

from spacy_padellm.corpus.memory_estimate import estimate_memory
from spacy_padellm.corpus.network_size import NetworkSize
from spacy_padellm.corpus.training_passes import TrainingPasses

SIZE = NetworkSize(576, 30, 576, 1536, 49152, 134_515_008, 4_884_480, lora=True, dropout=True)
PASSES = TrainingPasses(512, tokens=1000, targets=100, longest_tree=300)


@pytest.mark.parametrize("half", [False, True])
def test_estimate_has_parts_that_add_up(half):
    estimate = estimate_memory(SIZE, PASSES, 512, half)
    total = estimate.pop("total")
    assert total == sum(estimate.values())
    assert estimate["weights"] == SIZE.parameters * (2 if half else 4)
    assert estimate["gradients_and_optimizer"] == SIZE.trained * 16


def test_all_weights_cost_more_than_an_adapter():
    whole = replace(SIZE, trained=SIZE.parameters, lora=False, dropout=False)
    adapter = estimate_memory(SIZE, PASSES, 512, half=True)
    full = estimate_memory(whole, PASSES, 512, half=True)
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
    measured = sum(n_bytes for n_bytes, _ in kept.values())
    passes = TrainingPasses(
        budget=512,
        tokens=sum(map(len, trees)),
        targets=sum(tree.n_targets for tree in trees),
        longest_tree=max(map(len, trees)),
    )
    size = replace(SIZE, dropout=dropout > 0)
    row = passes.tokens // 2 if passes.tokens > 512 else passes.tokens
    estimate = estimate_memory(size, passes, row, half=False)
    # autograd keeps one copy of the logits; the rest of theirs comes with the gradient
    logits = estimate["logits"] / 3
    assert estimate["kept_for_backward"] + logits == pytest.approx(measured, rel=0.1)
