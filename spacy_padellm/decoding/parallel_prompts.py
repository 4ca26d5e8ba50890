"""The prompts of the parallel decoders with gold answers (PaDeLLM-NER, arXiv 2402.04838, section
3.1)."""

from __future__ import annotations

from collections.abc import Sequence

from ..documents.gold import Gold
from ..prompts.tree import PromptTree
from ..prompts.tree_builder import TreeBuilder


def parallel_prompts(builder: TreeBuilder, golds: Sequence[Gold]) -> list[PromptTree]:
    """Build all count prompts and mention prompts of gold documents, each once.

    builder (TreeBuilder): Builds the trees.
    golds (Sequence[Gold]): The gold answers.
    RETURNS (list[PromptTree]): One tree with targets per document, in input order.
    RAISES (ValueError): A text that is longer than the model's window.
    """
    return builder.gold_trees(
        [gold.text for gold in golds],
        [gold.mentions for gold in golds],
        # Without annotation of all labels, tokens outside of entities have no known tag.
        [gold.spans if gold.complete else None for gold in golds],
    )
