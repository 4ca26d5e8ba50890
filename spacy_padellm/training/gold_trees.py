"""A cache of gold trees, which every epoch needs again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from ..documents.gold import Gold
from ..prompts.tree import PromptTree

if TYPE_CHECKING:
    from ..decoding.decoder import Decoder
    from ..prompts.tree_builder import TreeBuilder

MAX_CACHED_TOKENS = 4_000_000  # about 50 bytes each


class GoldTreeCache:
    """Builds the trees of gold documents and keeps them, up to MAX_CACHED_TOKENS.

    builder (TreeBuilder): Builds the trees.
    """

    def __init__(self, builder: TreeBuilder) -> None:
        self.builder = builder
        self._free_tokens = MAX_CACHED_TOKENS
        self._trees: dict[Gold, list[PromptTree]] = {}

    def missing(self, golds: Sequence[Gold]) -> dict[Gold, int]:
        """Select the documents whose trees must be built.

        golds (Sequence[Gold]): The answers of a batch of documents.
        RETURNS (dict[Gold, int]): Those without trees in the cache, with their indices.
        """
        return {gold: i for i, gold in enumerate(golds) if gold not in self._trees}

    def trees(
        self,
        decoder: Decoder,
        golds: Sequence[Gold],
        window_golds: Mapping[Gold, Sequence[Gold]],
    ) -> list[list[PromptTree]]:
        """The trees of a batch of documents; those that the cache lacks are built.

        decoder (Decoder): Its `gold_trees` gives the form of the prompts.
        golds (Sequence[Gold]): The answers of the documents.
        window_golds (Mapping[Gold, Sequence[Gold]]): For each that is `missing`, the answers of its
            windows.
        RETURNS (list[list[PromptTree]]): For each document, one tree per window.
        RAISES (ValueError): A text that is longer than the model's window.
        """
        windows = list(dict.fromkeys(chain.from_iterable(window_golds.values())))
        tree_of = dict(zip(windows, decoder.gold_trees(self.builder, windows), strict=True))
        built = {
            gold: [tree_of[window] for window in parts] for gold, parts in window_golds.items()
        }
        for gold, trees in built.items():
            n_tokens = sum(map(len, trees))
            if n_tokens <= self._free_tokens:
                self._free_tokens -= n_tokens
                self._trees[gold] = trees
        return [built[gold] if gold in built else self._trees[gold] for gold in golds]
