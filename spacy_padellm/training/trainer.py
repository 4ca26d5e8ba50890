"""State that updates share: the cache of gold trees, the budget of a pass, the texts of a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from spacy.training import Example

from ..documents.windows import Windows
from ..prompts.tree import PromptTree
from .gold_of import gold_of, is_usable
from .gold_trees import GoldTreeCache
from .gold_windows import checked_window_golds, gold_windows
from .micro_batches import MicroBatches

if TYPE_CHECKING:
    from ..decoding.decoder import Decoder
    from ..prompts.tree_builder import TreeBuilder

CPU_TOKENS = 4096
GPU_TOKENS = 32768


@dataclass(frozen=True)
class GoldBatch:
    """The trees of a batch of gold documents.

    texts (list[str]): The texts of the documents.
    trees (list[PromptTree]): Trees with targets, one per window of a document.
    examples (list[Example]): The document of each tree.
    """

    texts: list[str]
    trees: list[PromptTree]
    examples: list[Example]

    @property
    def sizes(self) -> list[int]:
        """RETURNS (list[int]): Tokens of each tree."""
        return [len(tree) for tree in self.trees]

    @cached_property
    def n_targets(self) -> int:
        """RETURNS (int): Target tokens of all trees."""
        return sum(tree.n_targets for tree in self.trees)


class Trainer:
    """Prepares the updates of a component.

    Copies and pickles are empty: a trainer holds nothing that a saved pipeline needs.

    name (str): The component's name, for log messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._cache: GoldTreeCache | None = None
        self._micro_batches: MicroBatches | None = None
        self._texts: list[str] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return (Trainer, (self._name,))

    def gold_batch(
        self,
        examples: Sequence[Example],
        labels: Sequence[str],
        builder: TreeBuilder,
        decoder: Decoder,
        windows: Windows,
    ) -> GoldBatch:
        """Build the trees of gold documents, or take them from the cache.

        examples (Sequence[Example]): The gold documents; unusable ones are left out (`is_usable`).
        labels (Sequence[str]): The component's labels.
        builder (TreeBuilder): Builds the prompt trees.
        decoder (Decoder): Gives the form of the prompts.
        windows (Windows): Divides long documents.
        RETURNS (GoldBatch): The trees.
        RAISES (ValueError): A text that is longer than the model's window.
        """
        usable = [eg for eg in examples if is_usable(eg.reference, labels)]
        golds = [gold_of(eg.reference, labels) for eg in usable]
        if self._cache is None or self._cache.builder is not builder:
            self._cache = GoldTreeCache(builder)  # other prompts, or another tokenizer
        missing = self._cache.missing(golds)
        window_golds = {}
        if missing:
            max_tokens = decoder.max_text_tokens(builder, labels)
            new = [usable[i] for i in missing.values()]
            divided = gold_windows(new, windows, builder.codec, max_tokens)
            window_golds = {
                gold: checked_window_golds(gold, doc_windows, self._name)
                for gold, doc_windows in zip(missing, divided, strict=True)
            }
        by_doc = self._cache.trees(decoder, golds, window_golds)
        return GoldBatch(
            [gold.text for gold in golds],
            [tree for trees in by_doc for tree in trees],
            [eg for eg, trees in zip(usable, by_doc, strict=True) for _ in trees],
        )

    def micro_batches(self, budget: int | None, device_type: str) -> MicroBatches:
        """The splitter of batches into passes, whose budget is lower once memory has run out.

        budget (int | None): Most tokens of one pass; None chooses by device.
        device_type (str): torch's type of the model's device.
        RETURNS (MicroBatches): The splitter, the same one for all updates.
        """
        if self._micro_batches is None:
            default = CPU_TOKENS if device_type == "cpu" else GPU_TOKENS
            self._micro_batches = MicroBatches(budget or default)
        return self._micro_batches

    def add_texts(self, texts: Sequence[str]) -> None:
        """Append the documents of an update to those of the current step.

        texts (Sequence[str]): Their texts.
        """
        self._texts += texts

    def take_texts(self) -> list[str]:
        """RETURNS (list[str]): The texts of the current step; a new step begins."""
        texts, self._texts = self._texts, []
        return texts
