"""Does a network give under the tree's mask what it gives for separate prompts?"""

from __future__ import annotations

import numpy as np
import torch

from ..prompts.tree import COUNT, NO_TARGET, TRUNK, Paths, PromptTree, TreeShape
from .attention import supports_tree_mask
from .language_model import LanguageModel
from .prompt_rows import CachedRows, feed_of

# Relative differences of logits. float32 gives below 1e-5 and bfloat16 1e-2 to 6e-2 where
# the mask is honoured, and a network that ignores it stands above 1e-1.
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
HALF_TOLERANCE = 8e-2


def probe(model: LanguageModel) -> str | None:
    """Compare a toy tree with its separate prompts, with the KV cache and without.

    model (LanguageModel): The model.
    RETURNS (str | None): Why the network needs one row a prompt; None where the tree is exact.
    RAISES (ValueError): A network whose tokens see later ones.
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
        one, other = model.plain_logits(sequences, np.array([0, 1]), np.array([1, 1])).float()
    if (one - other).norm() > HALF_TOLERANCE * one.norm():
        raise ValueError(
            f"The base model {model.config.model_type!r} is no causal LM: its answer for a token "
            "changes with the tokens after it. Give a decoder such as a llama or qwen model."
        )


def _difference(model: LanguageModel, tree: PromptTree) -> float:
    ends = [(model_path, tree.branch_end(*model_path)) for model_path in tree.branches()]
    prompts = [tree.path(*path) for path, _ in ends]
    where = np.arange(len(prompts))
    last = np.array([len(prompt) - 1 for prompt in prompts])
    with torch.inference_mode():
        alone = model.plain_logits([tree.ids[prompt] for prompt in prompts], where, last).float()
        together = model.tree_logits([tree]).float()
    cached = cached_logits(model, tree)
    scale = alone.norm()
    return max(float((other - alone).norm() / scale) for other in (together, cached))


def cached_logits(model: LanguageModel, tree: PromptTree) -> torch.Tensor:
    """RETURNS (torch.Tensor): Logits after the tokens of a tree that have a target, read in two
    passes behind a KV cache [targets, vocabulary]."""
    rows = CachedRows(model, n_rows=1, capacity=len(tree))
    paths = tree.paths(0)
    logits: dict[int, torch.Tensor] = {}
    for early in (True, False):
        at = np.flatnonzero((tree.mention == COUNT) == early)
        part = Paths(*(column[at] for column in paths))
        wanted = np.flatnonzero(tree.target[at] != NO_TARGET)
        found = rows.feed(feed_of([(0, tree.ids[at], part)], wanted)).float()
        logits.update(zip(at[wanted].tolist(), found, strict=True))
    return torch.stack([logits[i] for i in sorted(logits)])


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
