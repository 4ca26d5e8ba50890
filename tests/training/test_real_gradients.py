"""The default base: the gradient of a tree is that of its separate sequences, added up."""

import pytest
import torch

from spacy_padellm.model.loss import Loss
from spacy_padellm.prompts.prompt import make_prompt
from spacy_padellm.prompts.tree_builder import TreeBuilder

pytestmark = pytest.mark.weights

TEXTS = ["Marie Curie and Pierre Curie worked in Paris for the Sorbonne.", "It rained all day."]
MENTIONS = [
    {"person": ["Marie Curie", "Pierre Curie"], "location": ["Paris"], "organisation": []},
    {"person": [], "location": [], "organisation": []},
]
SPANS = [[(0, 11, "person"), (16, 28, "person"), (39, 44, "location")], []]


@pytest.fixture
def trainable(real_model):
    """The model without dropout, all its weights trainable; put back afterwards."""
    was_training = real_model.network.training
    real_model.network.eval()
    before = [(p, p.requires_grad) for p in real_model.network.parameters()]
    for parameter, _ in before:
        parameter.requires_grad_(True)
    yield real_model
    real_model.network.zero_grad(set_to_none=True)
    real_model.network.train(was_training)
    for parameter, needed in before:
        parameter.requires_grad_(needed)


@pytest.mark.parametrize("options", [{}, {"both_ways": True, "tag_text": True}], ids=["paper", "-"])
def test_gradient_of_a_tree_is_the_sum_of_its_sequences(trainable, options):
    builder = TreeBuilder(trainable.codec, make_prompt("en", None, **options))
    trees = builder.gold_trees(TEXTS, MENTIONS, SPANS)
    sequences = [prompt for tree in trees for prompt in tree.prompts()]
    n_asked = sum(len(labels) + sum(map(len, labels.values())) for labels in MENTIONS)
    n_tagged = len(trees) if options else 0  # the text with its tags, once
    assert len(sequences) == n_asked + n_tagged

    together = gradient(trainable, [trees])
    apart = gradient(trainable, [[one] for one in sequences])
    assert together.norm() > 0
    assert (together - apart).norm() <= 1e-4 * apart.norm()


def gradient(model, batches):
    """RETURNS (torch.Tensor): float32, of the summed loss of all batches, all weights in a row."""
    loss = Loss(model, autocast=False)
    model.network.zero_grad(set_to_none=True)
    for batch in batches:
        nll, backprop = loss(batch)
        backprop(torch.ones_like(nll))
    found = torch.cat([p.grad.flatten() for p in loss.parameters if p.grad is not None])
    model.network.zero_grad(set_to_none=True)
    return found
