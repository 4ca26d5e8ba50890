"""What a component keeps from update to update."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from ..documents.gold import Gold
from ..prompts.tree import PromptTree
from .micro_batches import MicroBatches

if TYPE_CHECKING:
    from ..prompts.tree_builder import TreeBuilder

    Writer = Callable[[TreeBuilder, Sequence[Gold]], list[PromptTree]]

CPU_TOKENS = 4096
GPU_TOKENS = 32768
KEPT_TOKENS = 4_000_000  # of gold trees, about 50 bytes each


class Training:
    """Trees of gold documents, which each epoch asks for again, the size of passes, and the texts
    whose gradients wait for a step.

    Copies and pickles start anew: nothing of it is state that a pipeline needs.
    """

    def __init__(self) -> None:
        self._passes: MicroBatches | None = None
        self._builder: TreeBuilder | None = None
        self._trees: dict[Gold, list[PromptTree]] = {}
        self._room = KEPT_TOKENS
        self._texts: list[str] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return (Training, ())

    def passes(self, budget: int | None, device_type: str) -> MicroBatches:
        """RETURNS (MicroBatches): Of this budget in tokens, or less where memory ran out."""
        if self._passes is None:
            default = CPU_TOKENS if device_type == "cpu" else GPU_TOKENS
            self._passes = MicroBatches(budget or default)
        return self._passes

    def trees(
        self,
        builder: TreeBuilder,
        write: Writer,
        golds: Sequence[Gold],
        divide: Callable[[list[int]], list[list[Gold]]],
    ) -> list[list[PromptTree]]:
        """Gold trees, each written once.

        builder (TreeBuilder): Writes the prompts.
        write (Writer): The form of the prompts: the paper's, or a decoder's own.
        golds (Sequence[Gold]): The documents.
        divide (Callable[[list[int]], list[list[Gold]]]): Gives the golds of the windows of
            documents, by their numbers.
        RETURNS (list[list[PromptTree]]): For each document one tree a window.
        RAISES (ValueError): A text that is longer than the model's window.
        """
        if builder is not self._builder:
            self._builder, self._trees, self._room = builder, {}, KEPT_TOKENS
        new = {gold: i for i, gold in enumerate(golds) if gold not in self._trees}
        divided = dict(zip(new, divide(list(new.values())), strict=True)) if new else {}
        windows = list(dict.fromkeys(chain.from_iterable(divided.values())))
        written = dict(zip(windows, write(builder, windows), strict=True))
        found = {gold: [written[one] for one in parts] for gold, parts in divided.items()}
        for gold, trees in found.items():
            size = sum(map(len, trees))
            if size <= self._room:
                self._room -= size
                self._trees[gold] = trees
        return [found[gold] if gold in found else self._trees[gold] for gold in golds]

    def keep_texts(self, texts: Sequence[str]) -> None:
        """Note the documents of an update.

        texts (Sequence[str]): Their texts.
        """
        self._texts += texts

    def take_texts(self) -> list[str]:
        """RETURNS (list[str]): Those noted since the last call."""
        texts, self._texts = self._texts, []
        return texts
