"""Compares a network's logits under the tree mask with those of separate prompts."""

from __future__ import annotations

import numpy as np
import torch

from ..prompts.tree import COUNT, NO_TARGET, TRUNK, Paths, PromptTree, TreeShape
from .attention import supports_tree_mask
from .cached_rows import CachedRows
from .kv_rows import Forward
from .language_model import LanguageModel
from .partial_logits import PartialRequest
from .step import StepInput

# Relative differences of logits. float32 gives below 1e-5 and bfloat16 1e-2 to 6e-2 where
# the mask is honoured, and a network that ignores it stands above 1e-1.
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
HALF_TOLERANCE = 8e-2
# Of partial logits, relative to the largest: products of other shapes round otherwise.
PARTIAL_TOLERANCE, PARTIAL_HALF_TOLERANCE = 1e-4, 2e-2
PARTIAL_ROWS, PARTIAL_TOKENS = 5, 8


def probe(model: LanguageModel) -> str | None:
    """Compare a toy tree with its separate prompts, with the KV cache and without.

    model (LanguageModel): The model.
    RETURNS (str | None): The reason why the network needs one row per prompt; None where the tree
        is exact.
    RAISES (ValueError): A network whose tokens attend to later ones.
    """
    training = model.network.training
    model.network.eval()
    try:
        _check_causal(model)
        return _reason(model)
    finally:
        model.network.train(training)


def _reason(model: LanguageModel) -> str | None:
    if not supports_tree_mask(model.config):
        return f"models of type {model.config.model_type!r} place tokens by their order in a row"
    try:
        difference = _difference(model, toy_tree(model.base.get_input_embeddings().num_embeddings))
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError, KeyError) as error:
        return f"its forward pass does not take the tree's mask ({error})"
    if difference > TOLERANCE.get(model.base.dtype, HALF_TOLERANCE):
        return f"its logits under the tree's mask differ from separate prompts by {difference:.2g}"
    return None


def _check_causal(model: LanguageModel) -> None:
    sequences = [[1, 2, 3], [1, 2, 4]]
    with torch.inference_mode():
        first, second = model.sequence_logits(sequences, np.array([0, 1]), np.array([1, 1])).float()
    if (first - second).norm() > HALF_TOLERANCE * first.norm():
        raise ValueError(
            f"The base model {model.config.model_type!r} is no causal LM: its answer for a token "
            "changes with the tokens after it. Give a decoder such as a llama or qwen model."
        )


def _difference(model: LanguageModel, tree: PromptTree) -> float:
    prompts = [tree.path(*branch) for branch in tree.branches()]
    sequence = np.arange(len(prompts))
    last = np.array([len(prompt) - 1 for prompt in prompts])
    ids = [tree.ids[prompt] for prompt in prompts]
    with torch.inference_mode():
        separate = model.sequence_logits(ids, sequence, last).float()
        joined = model.tree_logits([tree]).float()
    cached = cached_logits(model.forward, model.device, tree)
    scale = separate.norm()
    return max(float((logits - separate).norm() / scale) for logits in (joined, cached))


def cached_logits(forward: Forward, device: torch.device, tree: PromptTree) -> torch.Tensor:
    """Run a tree in two passes behind a KV cache: trunk and count branches, then mentions.

    forward (Forward): The network's forward pass.
    device (torch.device): The network's device.
    tree (PromptTree): The tree.
    RETURNS (torch.Tensor): Logits after the tokens that have a target [targets, vocabulary].
    """
    rows = CachedRows(forward, device, n_rows=1, capacity=len(tree))
    paths = tree.paths(0)
    logits: dict[int, torch.Tensor] = {}
    for is_count in (True, False):
        tokens = np.flatnonzero((tree.mention == COUNT) == is_count)
        part = Paths(*(column[tokens] for column in paths))
        indices = np.flatnonzero(tree.target[tokens] != NO_TARGET)
        output = rows.forward(StepInput.of_runs([(0, tree.ids[tokens], part)], indices))
        step_logits = output.logits.float()
        logits.update(zip(tokens[indices].tolist(), step_logits, strict=True))
    return torch.stack([logits[i] for i in sorted(logits)])


def matches_partial_logits(model: LanguageModel) -> bool:
    """Compare partial logits with whole rows of logits.

    model (LanguageModel): A model whose output layer is a `torch.nn.Linear`.
    RETURNS (bool): Whether they are equal, that is whether nothing follows the output layer.
    """
    head = model.base.get_output_embeddings()
    indices = torch.arange(PARTIAL_ROWS, device=model.device)
    token_ids = torch.arange(min(PARTIAL_TOKENS, head.out_features), device=model.device)
    ids = indices[None] % head.out_features
    with torch.inference_mode():
        output = model.causal_forward(ids, indices, PartialRequest(indices, token_ids))
    assert output.partial_logits is not None
    logits = output.logits[:, token_ids]
    difference = float((output.partial_logits - logits).abs().max())
    half = torch.finfo(logits.dtype).bits <= 16
    tolerance = PARTIAL_HALF_TOLERANCE if half else PARTIAL_TOLERANCE
    return difference <= tolerance * max(1.0, float(logits.abs().max()))


def toy_tree(vocabulary: int) -> PromptTree:
    """A trunk, two labels, two mentions each; the last token of each branch has a target."""
    generator = np.random.default_rng(0)
    branches = [(TRUNK, COUNT, 0, 7)]
    for label in (1, 2):
        branches += [(label, COUNT, 7, 4), (label, 1, 11, 3), (label, 2, 11, 5)]
    columns: list[list[int]] = [[], [], [], []]
    for label, mention, start, length in branches:
        columns[0] += range(start, start + length)
        columns[1] += [label] * length
        columns[2] += [mention] * length
        columns[3] += [NO_TARGET] * (length - 1) + [0 if label != TRUNK else NO_TARGET]
    position, labels, mentions, target = (np.array(column) for column in columns)
    ids = generator.integers(0, vocabulary, len(position))
    shape = TreeShape(("a", "b"), position, labels, mentions, horizon=position)
    return PromptTree(shape, ids, target)
