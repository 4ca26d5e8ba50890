"""The passes that the batches of a training corpus are split into."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from spacy.training import Example
from spacy.training.loop import subdivide_batch

from ..engine.batching import group_by_budget

Batcher = Callable[[Iterable[Example]], Iterable[list[Example]]]


class TreeSize(NamedTuple):
    """Number of tokens and of target tokens of a tree."""

    tokens: int
    targets: int


@dataclass
class TrainingPasses:
    """The training passes of one epoch on one type of device.

    budget (int): Maximum tokens of a pass; a tree above it is a pass of its own.
    n_passes (int): Number of passes.
    tokens (int): Tree tokens of the largest pass.
    targets (int): Target tokens of the largest pass.
    longest_tree (int): Tokens of the longest tree.
    """

    budget: int
    n_passes: int = 0
    tokens: int = 0
    targets: int = 0
    longest_tree: int = 0

    def add(self, trees: list[TreeSize]) -> None:
        """Count the passes of one update.

        trees (list[TreeSize]): Sizes of the trees of the update.
        """
        for batch in group_by_budget([tree.tokens for tree in trees], self.budget):
            self.n_passes += 1
            tokens = sum(trees[i].tokens for i in batch)
            self.longest_tree = max(self.longest_tree, *(trees[i].tokens for i in batch))
            if tokens > self.tokens:
                self.tokens, self.targets = tokens, sum(trees[i].targets for i in batch)

    def to_dict(self) -> dict[str, int]:
        """RETURNS (dict[str, int]): The numbers as JSON."""
        return {
            "budget": self.budget,
            "passes": self.n_passes,
            "tokens": self.tokens,
            "targets": self.targets,
            "longest": self.longest_tree,
        }


@dataclass
class TrainingBatches:
    """The training batches of one epoch.

    passes (dict[str, TrainingPasses]): The component's passes, by type of device.
    n_batches (int): Batches of spaCy's training loop.
    n_discarded (int): Documents that the batcher discards (`discard_oversize`).
    """

    passes: dict[str, TrainingPasses]
    n_batches: int = 0
    n_discarded: int = 0


def count_batches(
    examples: Iterable[Example],
    measure: Callable[[Example], list[TreeSize]],
    batcher: Batcher,
    accumulate_gradient: int,
    budgets: dict[str, int],
) -> TrainingBatches:
    """Batch a corpus as spaCy's training loop and the component do.

    examples (Iterable[Example]): The corpus, read once.
    measure (Callable[[Example], list[TreeSize]]): Returns the sizes of the trees of an example;
        called once per example, in order.
    batcher (Batcher): [training.batcher].
    accumulate_gradient (int): [training] accumulate_gradient.
    budgets (dict[str, int]): Maximum tokens of a pass, by type of device.
    RETURNS (TrainingBatches): The counts.
    """
    buffered: dict[int, tuple[Example, list[TreeSize]]] = {}  # examples held by the batcher

    def measured() -> Iterator[Example]:
        for example in examples:
            buffered[id(example)] = (example, measure(example))
            yield example

    counts = TrainingBatches({device: TrainingPasses(budget) for device, budget in budgets.items()})
    for batch in batcher(measured()):
        counts.n_batches += 1
        sizes = {id(example): buffered.pop(id(example))[1] for example in batch}
        for sub_batch in subdivide_batch(batch, accumulate_gradient):
            trees = [size for example in sub_batch for size in sizes[id(example)]]
            for passes in counts.passes.values():
                passes.add(trees)
    counts.n_discarded = len(buffered)
    return counts
