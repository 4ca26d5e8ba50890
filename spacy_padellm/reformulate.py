"""Gold documents into prompt trees with targets (PaDeLLM-NER, arXiv 2402.04838, section 3.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from spacy.tokens import Doc
from spacy.training import Example

from .gold import Gold, gold_of, is_usable
from .tree import PromptTree
from .tree_builder import TreeBuilder
from .windows import DocWindows, window_golds

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
    divide: Callable[[list[Doc]], list[DocWindows]] = lambda docs: [None] * len(docs),
) -> list[PromptTree]:
    """Gold trees of the examples that can be trained on (`is_usable`).

    examples (Iterable[Example]): Their references hold the gold entities.
    labels (Sequence[str]): The labels to ask for.
    builder (TreeBuilder): Writes the prompts.
    write (Writer): The form of the prompts: the paper's, or a decoder's own.
    divide (Callable[[list[Doc]], list[DocWindows]]): Gives the windows of the gold documents.
    RETURNS (list[PromptTree]): One tree a usable example, or window of one.
    RAISES (ValueError): A text that is longer than the model's window.
    """
    docs = [eg.reference for eg in examples if is_usable(eg.reference, labels)]
    golds = [
        one
        for doc, windows in zip(docs, divide(docs), strict=True)
        for one in window_golds(gold_of(doc, labels), windows)
    ]
    return write(builder, golds)
