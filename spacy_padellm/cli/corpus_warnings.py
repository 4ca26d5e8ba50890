"""Warnings of `debug-data` about the corpora of a training config."""

from __future__ import annotations

from collections.abc import Iterator

from ..corpus.diagnosis import Diagnosis
from ..corpus.statistics import NO_LABEL, CorpusStatistics
from ..corpus.tree_statistics import TreeStatistics

TitledWarning = tuple[str, str]  # title and text


def corpus_warnings(diagnosis: Diagnosis) -> Iterator[TitledWarning]:
    """Check the statistics of the corpora.

    diagnosis (Diagnosis): The statistics.
    YIELDS (TitledWarning): Title and text of each warning; the text may be empty.
    """
    yield from _label_warnings(diagnosis)
    for name, corpus, trees in (
        ("train", diagnosis.train, diagnosis.train_trees),
        ("dev", diagnosis.dev, diagnosis.dev_trees),
    ):
        yield from _corpus_warnings(name, corpus)
        yield from _tree_warnings(name, trees)
    yield from _training_warnings(diagnosis)


def no_tree_reasons(corpus: CorpusStatistics) -> dict[str, int]:
    """RETURNS (dict[str, int]): Documents without a tree, by the text printed for the reason."""
    texts = {NO_LABEL: "annotated for none of the component's labels"}
    return {texts.get(reason, reason): number for reason, number in corpus.no_tree.items()}


def _label_warnings(diagnosis: Diagnosis) -> Iterator[TitledWarning]:
    if diagnosis.only_in_dev:
        yield f"Labels with mentions in dev and none in train: {diagnosis.only_in_dev}", ""
    if diagnosis.unknown_labels:
        yield (
            f"Labels of mentions that are no labels of the component: {diagnosis.unknown_labels}",
            "Their mentions are neither learnt nor found. Add them to the component's labels.",
        )
    if diagnosis.without_mentions:
        yield f"Labels without a mention in train: {diagnosis.without_mentions}", ""


def _corpus_warnings(name: str, corpus: CorpusStatistics) -> Iterator[TitledWarning]:
    if not corpus.documents:
        yield f"{name} has no documents", ""
    if corpus.no_tree:
        reasons = no_tree_reasons(corpus)
        yield (
            f"{name}: {corpus.no_tree.total()} documents give no tree",
            ", ".join(f"{number} x {reason}" for reason, number in reasons.items()),
        )
    if corpus.misaligned:
        yield (
            f"{name}: {corpus.misaligned} mentions start or end inside a token",
            "Predicted spans have whole tokens, so ents_f counts these as missed. "
            + "; ".join(corpus.misaligned_examples),
        )
    if corpus.repeated:
        yield f"{name}: {corpus.repeated} documents repeat the text of another", ""
    for key, group in corpus.groups.items():
        if group.not_in_ents:
            yield (
                f"{name}: {group.not_in_ents} of doc.spans[{key!r}] are not in doc.ents",
                f"They are not learnt. {group.overlapping} overlap others of the group.",
            )


def _tree_warnings(name: str, trees: TreeStatistics) -> Iterator[TitledWarning]:
    if trees.too_long:
        yield (
            f"{name}: {trees.too_long} documents or windows need more than the model's "
            f"{trees.max_positions} positions",
            "Training stops at the first. Lower window_tokens. "
            + "; ".join(trees.too_long_examples),
        )
    if trees.in_no_window:
        yield (
            f"{name}: {trees.in_no_window} mentions lie whole in no window",
            "They are not learnt. Let windows overlap more (window_overlap, get_spans).",
        )
    if trees.long_mentions:
        yield (
            f"{name}: {trees.long_mentions} mentions have more than "
            f"{trees.max_mention_tokens} tokens",
            "The decoder's max_mention_tokens cuts them off.",
        )


def _training_warnings(diagnosis: Diagnosis) -> Iterator[TitledWarning]:
    if diagnosis.duplicates:
        yield f"{diagnosis.duplicates} texts are in both train and dev", ""
    if diagnosis.batches.n_discarded:
        yield (
            f"The batcher discards {diagnosis.batches.n_discarded} documents of train",
            "They are longer than its batches and discard_oversize is true.",
        )
    if diagnosis.above_max_count:
        yield (
            f"dev: {diagnosis.above_max_count} labels of documents have more than "
            f"{diagnosis.max_count} mentions",
            "The decoder's max_count cuts them off.",
        )
