"""What can be told of a training config's corpora before training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from spacy.language import Language
from spacy.schemas import ConfigSchemaInit, ConfigSchemaTraining
from spacy.training import Example
from spacy.util import registry, resolve_dot_names
from thinc.api import Config

from ..decoding.parallel_prompts import parallel_prompts
from ..documents.windows import window_golds
from ..pipeline.component import PadellmNER
from ..pipeline.labels import check_labels
from ..training.annotated_labels import labels_of
from ..training.gold_of import gold_of, is_usable
from ..training.gold_trees import CPU_TOKENS, GPU_TOKENS
from .batches import Batcher, Batches, Shape, Size, count_batches, estimate_memory
from .model_spec import ModelSpec, without_weights
from .statistics import CorpusStatistics
from .tree_statistics import TreeStatistics

LABEL_EXAMPLES = 10_000  # as many as PadellmNER.initialize reads

Corpus = Callable[[Language], Iterable[Example]]


@dataclass(frozen=True)
class Training:
    """What a config says of training.

    train (Corpus), dev (Corpus): The corpora.
    batcher (Batcher): [training.batcher].
    accumulate_gradient (int): [training] accumulate_gradient.
    labels (list[str] | None): [initialize.components.NAME] labels.
    """

    train: Corpus
    dev: Corpus
    batcher: Batcher
    accumulate_gradient: int
    labels: list[str] | None


@dataclass(frozen=True)
class Diagnosis:
    """The corpora of a config, as its component will read them.

    labels (list[str]): The labels that are asked for.
    train, dev (CorpusStatistics): The corpora.
    train_trees, dev_trees (TreeStatistics): Their trees.
    batches (Batches): The training batches.
    memory (dict[str, dict[str, int]]): Bytes of the largest pass, "gpu" and "cpu".
    shape (Shape): The size of the network.
    max_count (int | None): The decoder's bound on the mentions of a label.
    """

    labels: list[str]
    train: CorpusStatistics
    dev: CorpusStatistics
    train_trees: TreeStatistics
    dev_trees: TreeStatistics
    batches: Batches
    memory: dict[str, dict[str, int]]
    shape: Shape
    max_count: int | None

    @property
    def only_in_dev(self) -> list[str]:
        """RETURNS (list[str]): Labels with mentions in dev and none in train."""
        return sorted(self.dev.found - self.train.found)

    @property
    def not_asked(self) -> list[str]:
        """RETURNS (list[str]): Labels with mentions that the component does not ask for."""
        return sorted((self.train.found | self.dev.found) - set(self.labels))

    @property
    def without_mentions(self) -> list[str]:
        """RETURNS (list[str]): Labels that are asked for and have no mention in train."""
        return [label for label in self.labels if label not in self.train.found]

    @property
    def duplicates(self) -> int:
        """RETURNS (int): Texts that are in both train and dev."""
        return len(self.train.texts & self.dev.texts)

    @property
    def above_max_count(self) -> int:
        """RETURNS (int): Count prompts of dev whose number is above the decoder's bound."""
        if self.max_count is None:
            return 0
        return sum(n for number, n in self.dev.counts.items() if number > self.max_count)

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): All of it, for JSON."""
        return {
            "labels": self.labels,
            "train": {**self.train.to_dict(), "trees": self.train_trees.to_dict()},
            "dev": {**self.dev.to_dict(), "trees": self.dev_trees.to_dict()},
            "labels_only_in_dev": self.only_in_dev,
            "labels_not_asked": self.not_asked,
            "labels_without_mentions": self.without_mentions,
            "texts_in_train_and_dev": self.duplicates,
            "above_max_count": self.above_max_count,
            "window": self.train_trees.window,
            "batches": self.batches.batches,
            "discarded": self.batches.discarded,
            "passes": {device: vars(passes) for device, passes in self.batches.passes.items()},
            "shape": vars(self.shape),
            "memory": self.memory,
        }


def read_training(config: Config, name: str) -> Training:
    """Resolve what a config says of training.

    config (Config): The whole config, interpolated.
    name (str): The component's name.
    RETURNS (Training): Corpora, batcher and labels.
    """
    training = registry.resolve(config["training"], schema=ConfigSchemaTraining)
    train, dev = resolve_dot_names(config, [training["train_corpus"], training["dev_corpus"]])
    init = registry.resolve(config["initialize"], schema=ConfigSchemaInit)
    labels = init["components"].get(name, {}).get("labels")
    return Training(train, dev, training["batcher"], training["accumulate_gradient"], labels)


def diagnose(
    nlp: Language,
    ner: PadellmNER,
    training: Training,
    *,
    limit: int = 0,
    saw: Callable[[int], object] = lambda n_documents: None,
) -> Diagnosis:
    """Read the corpora as training would, with the component's own tokenizer and prompts.

    nlp (Language): The pipeline. No weights are loaded, and the component can't run afterwards.
    ner (PadellmNER): The component.
    training (Training): What the config says of training.
    limit (int): Most documents of a corpus that are read; 0 reads all.
    saw (Callable[[int], object]): Called for each document.
    RETURNS (Diagnosis): What was found.
    RAISES (ValueError, OSError): Corpora, base or tokenizer that can't be had.
    """
    labels = _labels(nlp, ner, training)
    unloaded = without_weights(ner)
    train, dev = CorpusStatistics(labels), CorpusStatistics(labels)
    bound = getattr(ner.decoder, "max_mention_tokens", None)
    train_trees = TreeStatistics(unloaded.window, bound)
    dev_trees = TreeStatistics(unloaded.window, bound)

    def read(corpus: Corpus) -> Iterator[Example]:
        for example in islice(corpus(nlp), limit or None):
            saw(1)
            yield example

    budget = ner.cfg["update_tokens"]
    batches = count_batches(
        read(training.train),
        lambda example: _measure(example, ner, labels, unloaded, train, train_trees),
        training.batcher,
        training.accumulate_gradient,
        {"gpu": budget or GPU_TOKENS, "cpu": budget or CPU_TOKENS},
    )
    for example in read(training.dev):
        _measure(example, ner, labels, unloaded, dev, dev_trees)
    return Diagnosis(
        labels,
        train,
        dev,
        train_trees,
        dev_trees,
        batches,
        _memory(unloaded.shape, batches, ner),
        unloaded.shape,
        getattr(ner.decoder, "max_count", None),
    )


def _labels(nlp: Language, ner: PadellmNER, training: Training) -> list[str]:
    if training.labels is not None:
        return check_labels(training.labels)
    if ner.labels:
        return list(ner.labels)
    examples = islice(training.train(nlp), LABEL_EXAMPLES)
    return labels_of(example.reference for example in examples)


def _measure(
    example: Example,
    ner: PadellmNER,
    labels: list[str],
    unloaded: ModelSpec,
    corpus: CorpusStatistics,
    trees: TreeStatistics,
) -> list[Size]:
    corpus.add(example)
    if not is_usable(example.reference, labels):
        return []
    gold, builder = gold_of(example.reference, labels), unloaded.builder
    (windows,) = ner.gold_windows([example], builder, labels)
    golds = window_golds(gold, windows)
    trees.add_windows(gold, golds, windows)
    sizes = []
    for one in golds:
        (tree,) = ner.decoder.gold_trees(builder, [one])
        (paper,) = parallel_prompts(builder, [one])
        trees.add(tree, paper, one, builder)
        sizes.append((len(tree), tree.n_targets))
    return sizes


def _memory(shape: Shape, batches: Batches, ner: PadellmNER) -> dict[str, dict[str, int]]:
    from ..engine.language_model import ROW_TOKENS

    wide = ner.shim.settings.dtype == "float32"
    return {
        device: estimate_memory(shape, passes, ROW_TOKENS, half=device == "gpu" and not wide)
        for device, passes in batches.passes.items()
    }
