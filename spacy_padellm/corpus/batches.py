"""The training batches of a corpus: the largest pass, and what it needs of memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from spacy.training import Example
from spacy.training.loop import subdivide_batch

Batcher = Callable[[Iterable[Example]], Iterable[list[Example]]]
# Tokens and targets of a tree.
Size = tuple[int, int]


@dataclass
class Passes:
    """The training passes of one epoch on one kind of device, in the corpus's order.

    budget (int): Most tokens of a pass; a single window is never split.
    passes (int): Passes that the component makes of spaCy's batches.
    tokens (int): Tree tokens of the largest pass.
    targets (int): Targets of that pass.
    longest (int): Tokens of the longest tree.
    """

    budget: int
    passes: int = 0
    tokens: int = 0
    targets: int = 0
    longest: int = 0

    def add(self, trees: list[Size]) -> None:
        """Count the passes of one update.

        trees (list[Size]): Its trees.
        """
        from ..engine.batching import group_by_budget

        for group in group_by_budget([tokens for tokens, _ in trees], self.budget):
            self.passes += 1
            tokens = sum(trees[i][0] for i in group)
            self.longest = max(self.longest, *(trees[i][0] for i in group))
            if tokens > self.tokens:
                self.tokens, self.targets = tokens, sum(trees[i][1] for i in group)


@dataclass
class Batches:
    """The training batches of one epoch.

    passes (dict[str, Passes]): What the component makes of them, by kind of device.
    batches (int): Batches that spaCy makes.
    discarded (int): Documents that the batcher leaves out (`discard_oversize`).
    """

    passes: dict[str, Passes]
    batches: int = 0
    discarded: int = 0


def count_batches(
    examples: Iterable[Example],
    measure: Callable[[Example], list[Size]],
    batcher: Batcher,
    accumulate_gradient: int,
    budgets: dict[str, int],
) -> Batches:
    """Batch a corpus as spaCy's training loop and the component do.

    examples (Iterable[Example]): The corpus, which is read once.
    measure (Callable[[Example], list[Size]]): The sizes of an example's trees; called once for each
        example, in order.
    batcher (Batcher): [training.batcher].
    accumulate_gradient (int): [training] accumulate_gradient.
    budgets (dict[str, int]): Most tokens of a pass, by kind of device.
    RETURNS (Batches): What was counted.
    """
    waiting: dict[int, tuple[Example, list[Size]]] = {}  # examples that the batcher holds

    def measured() -> Iterator[Example]:
        for example in examples:
            waiting[id(example)] = (example, measure(example))
            yield example

    counted = Batches({device: Passes(budget) for device, budget in budgets.items()})
    for batch in batcher(measured()):
        counted.batches += 1
        sizes = {id(example): waiting.pop(id(example))[1] for example in batch}
        for part in subdivide_batch(batch, accumulate_gradient):
            trees = [size for example in part for size in sizes[id(example)]]
            for passes in counted.passes.values():
                passes.add(trees)
    counted.discarded = len(waiting)
    return counted


@dataclass(frozen=True)
class Shape:
    """The size of a network.

    hidden (int): Width of the residual stream.
    layers (int): Layers.
    heads (int): Width of all query heads together.
    feed_forward (int): Width inside a feed-forward block.
    vocabulary (int): Output tokens.
    parameters (int): Of the base.
    trained (int): Of the adapter; all of the base's without one.
    lora (bool): Whether an adapter is trained.
    dropout (bool): Whether the adapter has dropout.
    """

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    parameters: int
    trained: int
    lora: bool
    dropout: bool


FORMULA = (
    "weights: parameters x b bytes, or, where all are trained, x 6 on a GPU and x 4 in float32; "
    "trained parameters x 16 with an adapter, x 12 without (float32 copy, gradient, Adam's two "
    "moments); kept for backward, a layer and a token of the pass: b x (5 hidden + 4 heads + "
    "4 feed-forward + row length), + 8 hidden where b is 2, + 8 hidden where all weights are "
    "trained, + 4 x (9 hidden + feed-forward) for an adapter's dropout; logits: targets x "
    "vocabulary x (b + 8). b is 2 on a GPU (bfloat16) and 4 in float32"
)


def estimate_memory(shape: Shape, passes: Passes, row_tokens: int, half: bool) -> dict[str, int]:
    """Memory of the largest training pass, by FORMULA.

    It counts what autograd keeps of a Llama-like layer without gradient checkpointing: 5 vectors of
    the residual stream's width, queries, keys and values repeated for all heads, the attention's
    output, 4 vectors of the feed-forward block, and the attention mask. The context of CUDA,
    fragmentation and captured graphs come on top.

    shape (Shape): The network.
    passes (Passes): The corpus's passes.
    row_tokens (int): Tokens of a row of trees.
    half (bool): Whether it computes in bfloat16, as on a GPU.
    RETURNS (dict[str, int]): Bytes by what they are for, and "total".
    """
    size = 2 if half else 4
    row = max(row_tokens, passes.longest)
    kept = size * (5 * shape.hidden + 4 * shape.heads + 4 * shape.feed_forward + row)
    if half:
        kept += 8 * shape.hidden  # norms compute in float32
    if not shape.lora:
        kept += 8 * shape.hidden  # what norms' own weights are multiplied with
    if shape.dropout:
        kept += 4 * (9 * shape.hidden + shape.feed_forward)
    # Weights that are all trained are float32, with a copy in bfloat16 under autocast.
    weights = size if shape.lora else 4 + (size if half else 0)
    parts = {
        "weights": shape.parameters * weights,
        "gradients_and_optimizer": shape.trained * (16 if shape.lora else 12),
        "kept_for_backward": shape.layers * passes.tokens * kept,
        "logits": passes.targets * shape.vocabulary * (size + 8),
    }
    return {**parts, "total": sum(parts.values())}


def shape_of(config: Any, parameters: int, trained: int | None, dropout: float) -> Shape:
    """The size of a network out of its configuration.

    config (transformers.PretrainedConfig): Of the text model.
    parameters (int): Of the base.
    trained (int | None): Of the adapter; None trains all of the base's.
    dropout (float): Of the adapter.
    RETURNS (Shape): The size.
    """
    hidden, heads = int(config.hidden_size), int(config.num_attention_heads)
    head = int(getattr(config, "head_dim", None) or hidden // heads)
    inner = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None)
    return Shape(
        hidden,
        int(config.num_hidden_layers),
        heads * head,
        int(inner or 4 * hidden),
        int(config.vocab_size),
        parameters,
        parameters if trained is None else trained,
        lora=trained is not None,
        dropout=dropout > 0,
    )
