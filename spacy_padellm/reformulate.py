"""Gold documents into prompt trees with targets (PaDeLLM-NER, arXiv 2402.04838, section 3.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from spacy.training import Example

from .gold import Gold, gold_of, is_usable
from .tree import PromptTree
from .tree_builder import TreeBuilder

Writer = Callable[[TreeBuilder, Sequence[Gold]], list[PromptTree]]


def parallel_prompts(builder: TreeBuilder, golds: Sequence[Gold]) -> list[PromptTree]:
    """RETURNS (list[PromptTree]): All count prompts and mention prompts of each document, once."""
    return builder.answer(
        [gold.text for gold in golds],
        [gold.mentions for gold in golds],
        # Where labels are unknown, a token without an entity may have one all the same.
        [gold.spans if gold.complete else None for gold in golds],
    )


def reformulate(
    examples: Iterable[Example],
    labels: Sequence[str],
    builder: TreeBuilder,
    write: Writer = parallel_prompts,
) -> list[PromptTree]:
    """Gold trees of the examples that can be trained on (`is_usable`).

    examples (Iterable[Example]): Their references hold the gold entities.
    labels (Sequence[str]): The labels to ask for.
    builder (TreeBuilder): Writes the prompts.
    write (Writer): The form of the prompts: the paper's, or a decoder's own.
    RETURNS (list[PromptTree]): One tree a usable example.
    RAISES (ValueError): A text that is longer than the model's window.
    """
    docs = [eg.reference for eg in examples if is_usable(eg.reference, labels)]
    return write(builder, [gold_of(doc, labels) for doc in docs])
