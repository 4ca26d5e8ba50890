"""Statistics of the corpora of a training config, as its component reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from spacy.language import Language
from spacy.training import Example

from ..decoding.parallel_prompts import parallel_prompts
from ..documents.windows import window_golds
from ..engine.language_model import ROW_TOKENS
from ..pipeline.component import PadellmNER
from ..pipeline.labels import check_labels
from ..training.annotated_labels import labels_of
from ..training.gold_of import gold_of, is_usable
from ..training.gold_windows import gold_windows
from ..training.trainer import CPU_TOKENS, GPU_TOKENS
from .memory_estimate import estimate_memory
from .model_spec import ModelSpec, read_model_spec
from .network_size import NetworkSize
from .statistics import CorpusStatistics
from .training_config import Corpus, TrainingConfig
from .training_passes import TrainingBatches, TreeSize, count_batches
from .tree_statistics import TreeStatistics

LABEL_EXAMPLES = 10_000  # as many as PadellmNER.initialize reads


@dataclass(frozen=True)
class Diagnosis:
    """Statistics of the corpora of a config.

    labels (list[str]): The labels of the component.
    train (CorpusStatistics): Statistics of the training corpus.
    dev (CorpusStatistics): Statistics of the development corpus.
    train_trees (TreeStatistics): Statistics of the prompt trees of train.
    dev_trees (TreeStatistics): Statistics of the prompt trees of dev.
    batches (TrainingBatches): The training batches.
    memory (dict[str, dict[str, int]]): Bytes of the largest pass, on "gpu" and "cpu".
    size (NetworkSize): The size of the network.
    max_count (int | None): The decoder's maximum number of mentions per label.
    """

    labels: list[str]
    train: CorpusStatistics
    dev: CorpusStatistics
    train_trees: TreeStatistics
    dev_trees: TreeStatistics
    batches: TrainingBatches
    memory: dict[str, dict[str, int]]
    size: NetworkSize
    max_count: int | None

    @property
    def only_in_dev(self) -> list[str]:
        """RETURNS (list[str]): Labels that have mentions in dev and none in train."""
        return sorted(self.dev.mentioned_labels - self.train.mentioned_labels)

    @property
    def unknown_labels(self) -> list[str]:
        """RETURNS (list[str]): Labels that have mentions and are no labels of the component."""
        mentioned = self.train.mentioned_labels | self.dev.mentioned_labels
        return sorted(mentioned - set(self.labels))

    @property
    def without_mentions(self) -> list[str]:
        """RETURNS (list[str]): Labels of the component that have no mention in train."""
        return [label for label in self.labels if label not in self.train.mentioned_labels]

    @property
    def duplicates(self) -> int:
        """RETURNS (int): Texts that are in both train and dev."""
        return len(self.train.texts & self.dev.texts)

    @property
    def above_max_count(self) -> int:
        """RETURNS (int): Count prompts of dev whose gold count is above the decoder's maximum."""
        if self.max_count is None:
            return 0
        return sum(n for count, n in self.dev.counts.items() if count > self.max_count)

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The statistics as JSON."""
        return {
            "labels": self.labels,
            "train": {**self.train.to_dict(), "trees": self.train_trees.to_dict()},
            "dev": {**self.dev.to_dict(), "trees": self.dev_trees.to_dict()},
            "labels_only_in_dev": self.only_in_dev,
            "labels_not_asked": self.unknown_labels,
            "labels_without_mentions": self.without_mentions,
            "texts_in_train_and_dev": self.duplicates,
            "above_max_count": self.above_max_count,
            "window": self.train_trees.max_positions,
            "batches": self.batches.n_batches,
            "discarded": self.batches.n_discarded,
            "passes": {device: passes.to_dict() for device, passes in self.batches.passes.items()},
            "shape": vars(self.size),
            "memory": self.memory,
        }


def diagnose(
    nlp: Language,
    ner: PadellmNER,
    training: TrainingConfig,
    *,
    limit: int = 0,
    on_document: Callable[[int], object] = lambda n_documents: None,
) -> Diagnosis:
    """Read the corpora as training does, with the component's own tokenizer and prompts.

    No weights are loaded.

    nlp (Language): The pipeline.
    ner (PadellmNER): The component.
    training (TrainingConfig): The training settings of the config.
    limit (int): Maximum documents to read per corpus; 0 reads all.
    on_document (Callable[[int], object]): Called with 1 for each document read.
    RETURNS (Diagnosis): The statistics.
    RAISES (ValueError, OSError): Corpora, base or tokenizer that can't be read.
    """
    labels = _labels(nlp, ner, training)
    model = read_model_spec(ner)
    train, dev = (_CorpusReader(ner, labels, model) for _ in range(2))

    def examples(corpus: Corpus) -> Iterator[Example]:
        for example in islice(corpus(nlp), limit or None):
            on_document(1)
            yield example

    budget = ner.cfg["update_tokens"]
    batches = count_batches(
        examples(training.train),
        train.add,
        training.batcher,
        training.accumulate_gradient,
        {"gpu": budget or GPU_TOKENS, "cpu": budget or CPU_TOKENS},
    )
    for example in examples(training.dev):
        dev.add(example)
    return Diagnosis(
        labels,
        train.corpus,
        dev.corpus,
        train.trees,
        dev.trees,
        batches,
        _memory(model.size, batches, ner),
        model.size,
        getattr(ner.decoder, "max_count", None),
    )


class _CorpusReader:
    """Counts the documents and the prompt trees of a corpus.

    ner (PadellmNER): The component.
    labels (list[str]): Its labels.
    model (ModelSpec): Its model.
    """

    def __init__(self, ner: PadellmNER, labels: list[str], model: ModelSpec) -> None:
        self._ner = ner
        self._labels = labels
        self._builder = model.builder
        max_mention_tokens = getattr(ner.decoder, "max_mention_tokens", None)
        self.corpus = CorpusStatistics(labels)
        self.trees = TreeStatistics(model.max_positions, max_mention_tokens)

    def add(self, example: Example) -> list[TreeSize]:
        """RETURNS (list[TreeSize]): Sizes of the trees of an example, which is counted."""
        self.corpus.add(example)
        if not is_usable(example.reference, self._labels):
            return []
        gold = gold_of(example.reference, self._labels)
        ner, builder = self._ner, self._builder
        max_tokens = ner.decoder.max_text_tokens(builder, self._labels)
        (windows,) = gold_windows([example], ner.windows, builder.codec, max_tokens)
        golds = window_golds(gold, windows)
        self.trees.add_windows(gold, golds, windows)
        sizes = []
        for window_gold in golds:
            (tree,) = ner.decoder.gold_trees(builder, [window_gold])
            (parallel,) = parallel_prompts(builder, [window_gold])
            self.trees.add(tree, parallel, window_gold, builder)
            sizes.append(TreeSize(len(tree), tree.n_targets))
        return sizes


def _labels(nlp: Language, ner: PadellmNER, training: TrainingConfig) -> list[str]:
    if training.labels is not None:
        return check_labels(training.labels)
    if ner.labels:
        return list(ner.labels)
    examples = islice(training.train(nlp), LABEL_EXAMPLES)
    return labels_of(example.reference for example in examples)


def _memory(
    size: NetworkSize, batches: TrainingBatches, ner: PadellmNER
) -> dict[str, dict[str, int]]:
    is_float32 = ner.shim.settings.dtype == "float32"
    return {
        device: estimate_memory(size, passes, ROW_TOKENS, half=device == "gpu" and not is_float32)
        for device, passes in batches.passes.items()
    }
