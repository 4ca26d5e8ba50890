"""What the trees of a corpus cost in training, beside the paper's separate sequences."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..documents.gold import Gold
from ..documents.windows import DocWindows, held_nowhere
from ..prompts.tree import PromptTree
from ..prompts.tree_builder import TreeBuilder

SHOWN = 5


@dataclass
class TreeStatistics:
    """Of the trees given to `add`.

    window (int | None): Positions that the model can tell apart, None for any number.
    max_mention_tokens (int | None): The decoder's bound on a mention, None for none.
    trees (int): Trees, one a document or window.
    cut (int): Documents that are read in more than one window.
    in_no_window (int): Mentions of them that no window holds whole: these are not learnt.
    tokens (int): Their tokens.
    targets (int): Tokens that must be said.
    sequences (int): The paper's sequences: one a label and one a mention of each document.
    sequence_tokens (int): Their tokens, the text repeated in each.
    too_long (int): Trees whose longest prompt needs more positions than the model has.
    too_long_shown (list[str]): The first of them.
    long_mentions (int): Mentions of more tokens than the decoder's bound.
    longest (list[tuple[int, int, int, int, str]]): Tokens, positions, labels, mentions and the
        start of the text of the largest trees.
    """

    window: int | None
    max_mention_tokens: int | None = None
    trees: int = 0
    cut: int = 0
    in_no_window: int = 0
    tokens: int = 0
    targets: int = 0
    sequences: int = 0
    sequence_tokens: int = 0
    too_long: int = 0
    too_long_shown: list[str] = field(default_factory=list)
    long_mentions: int = 0
    longest: list[tuple[int, int, int, int, str]] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """RETURNS (float): Tokens of the sequences for one of the trees."""
        return self.sequence_tokens / self.tokens if self.tokens else 0.0

    def add(self, tree: PromptTree, paper: PromptTree, gold: Gold, builder: TreeBuilder) -> None:
        """Count a tree.

        tree (PromptTree): What is trained: a tree with targets, whatever its length.
        paper (PromptTree): The prompts of the paper's method, the same one for its decoders.
        gold (Gold): What it was made of.
        builder (TreeBuilder): What wrote it.
        """
        self.trees += 1
        self.tokens += len(tree)
        self.targets += tree.n_targets
        sequences = [len(prompt) for prompt in paper.prompts()]
        self.sequences += len(sequences)
        self.sequence_tokens += sum(sequences)
        positions = int(tree.position.max()) + 1
        text = f"{gold.text[:60]}…" if len(gold.text) > 60 else gold.text
        if self.window is not None and positions > self.window:
            self.too_long += 1
            if len(self.too_long_shown) < SHOWN:
                self.too_long_shown.append(f"{positions} positions: {text!r}")
        if self.max_mention_tokens is not None:
            self.long_mentions += sum(
                len(builder.codec.encode_mention(gold.text[start:end])) > self.max_mention_tokens
                for start, end, _ in gold.spans
            )
        entry = (len(tree), positions, len(gold.labels), len(gold.spans), text)
        push = heapq.heappush if len(self.longest) < SHOWN else heapq.heappushpop
        push(self.longest, entry)

    def add_windows(self, gold: Gold, golds: Sequence[Gold], windows: DocWindows) -> None:
        """Count the windows of a document.

        gold (Gold): Its answers.
        golds (Sequence[Gold]): Those of its windows.
        windows (DocWindows): The windows.
        """
        self.cut += windows is not None and len(windows) > 1
        self.in_no_window += held_nowhere(gold, golds, windows)

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): All of it, for JSON."""
        keys = ("tokens", "positions", "labels", "mentions", "text")
        return {
            "trees": self.trees,
            "cut": self.cut,
            "in_no_window": self.in_no_window,
            "tokens": self.tokens,
            "targets": self.targets,
            "sequences": self.sequences,
            "sequence_tokens": self.sequence_tokens,
            "ratio": self.ratio,
            "too_long": self.too_long,
            "too_long_shown": self.too_long_shown,
            "long_mentions": self.long_mentions,
            "longest": [
                dict(zip(keys, entry, strict=True)) for entry in sorted(self.longest, reverse=True)
            ],
        }
