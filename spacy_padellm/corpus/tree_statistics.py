"""Statistics of the prompt trees of a corpus, compared with the paper's separate sequences."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..documents.gold import Gold
from ..documents.windows import DocWindows, count_uncovered
from ..prompts.tree import PromptTree
from ..prompts.tree_builder import TreeBuilder

MAX_EXAMPLES = 5


class LongTree(NamedTuple):
    """Sizes of a tree, and the beginning of its text."""

    tokens: int
    positions: int
    labels: int
    mentions: int
    text: str


@dataclass
class TreeStatistics:
    """Statistics of the trees given to `add`.

    max_positions (int | None): Context length of the model; None for no limit.
    max_mention_tokens (int | None): The decoder's maximum tokens of a mention; None for no limit.
    trees (int): Number of trees, one per document or window.
    split_documents (int): Documents that are split into several windows.
    in_no_window (int): Mentions of these that no window holds whole, so that they are not learnt.
    tokens (int): Tokens of the trees.
    targets (int): Target tokens of the trees.
    sequences (int): The paper's sequences: one per label and one per mention of each document.
    sequence_tokens (int): Tokens of these sequences; each repeats the text.
    too_long (int): Trees whose longest path has more positions than the context length.
    too_long_examples (list[str]): The first trees that are too long.
    long_mentions (int): Mentions above max_mention_tokens.
    longest (list[LongTree]): The trees with the most tokens, as a heap.
    """

    max_positions: int | None
    max_mention_tokens: int | None = None
    trees: int = 0
    split_documents: int = 0
    in_no_window: int = 0
    tokens: int = 0
    targets: int = 0
    sequences: int = 0
    sequence_tokens: int = 0
    too_long: int = 0
    too_long_examples: list[str] = field(default_factory=list)
    long_mentions: int = 0
    longest: list[LongTree] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """RETURNS (float): Tokens of the sequences divided by tokens of the trees."""
        return self.sequence_tokens / self.tokens if self.tokens else 0.0

    def add(self, tree: PromptTree, parallel: PromptTree, gold: Gold, builder: TreeBuilder) -> None:
        """Count a tree.

        tree (PromptTree): The training tree of the component's decoder, of any length.
        parallel (PromptTree): The tree of the paper's prompts (`parallel_prompts`).
        gold (Gold): Its gold answers.
        builder (TreeBuilder): The builder of the trees.
        """
        self.trees += 1
        self.tokens += len(tree)
        self.targets += tree.n_targets
        sequences = [len(prompt) for prompt in parallel.prompts()]
        self.sequences += len(sequences)
        self.sequence_tokens += sum(sequences)
        positions = int(tree.position.max()) + 1
        text = f"{gold.text[:60]}…" if len(gold.text) > 60 else gold.text
        if self.max_positions is not None and positions > self.max_positions:
            self.too_long += 1
            if len(self.too_long_examples) < MAX_EXAMPLES:
                self.too_long_examples.append(f"{positions} positions: {text!r}")
        if self.max_mention_tokens is not None:
            self.long_mentions += sum(
                len(builder.codec.encode_mention(gold.text[start:end])) > self.max_mention_tokens
                for start, end, _ in gold.spans
            )
        sizes = LongTree(len(tree), positions, len(gold.labels), len(gold.spans), text)
        push = heapq.heappush if len(self.longest) < MAX_EXAMPLES else heapq.heappushpop
        push(self.longest, sizes)

    def add_windows(self, gold: Gold, golds: Sequence[Gold], windows: DocWindows) -> None:
        """Count the windows of a document.

        gold (Gold): The gold answers of the document.
        golds (Sequence[Gold]): The gold answers of its windows.
        windows (DocWindows): The windows.
        """
        self.split_documents += windows is not None and len(windows) > 1
        self.in_no_window += count_uncovered(gold, golds, windows)

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The statistics as JSON."""
        return {
            "trees": self.trees,
            "cut": self.split_documents,
            "in_no_window": self.in_no_window,
            "tokens": self.tokens,
            "targets": self.targets,
            "sequences": self.sequences,
            "sequence_tokens": self.sequence_tokens,
            "ratio": self.ratio,
            "too_long": self.too_long,
            "too_long_shown": self.too_long_examples,
            "long_mentions": self.long_mentions,
            "longest": [tree._asdict() for tree in sorted(self.longest, reverse=True)],
        }
