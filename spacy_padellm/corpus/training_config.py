"""The settings of a training config that determine its corpora and batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from spacy.language import Language
from spacy.schemas import ConfigSchemaInit, ConfigSchemaTraining
from spacy.training import Example
from spacy.util import registry, resolve_dot_names
from thinc.api import Config

from .training_passes import Batcher

Corpus = Callable[[Language], Iterable[Example]]


@dataclass(frozen=True)
class TrainingConfig:
    """Corpora, batcher and labels of a training config, resolved.

    train (Corpus): The training corpus.
    dev (Corpus): The development corpus.
    batcher (Batcher): [training.batcher].
    accumulate_gradient (int): [training] accumulate_gradient.
    labels (list[str] | None): [initialize.components.NAME] labels.
    """

    train: Corpus
    dev: Corpus
    batcher: Batcher
    accumulate_gradient: int
    labels: list[str] | None


def read_training_config(config: Config, name: str) -> TrainingConfig:
    """Resolve the training settings of a config.

    config (Config): The whole config, interpolated.
    name (str): The component's name.
    RETURNS (TrainingConfig): Corpora, batcher and labels.
    """
    training = registry.resolve(config["training"], schema=ConfigSchemaTraining)
    train, dev = resolve_dot_names(config, [training["train_corpus"], training["dev_corpus"]])
    init = registry.resolve(config["initialize"], schema=ConfigSchemaInit)
    labels = init["components"].get(name, {}).get("labels")
    return TrainingConfig(train, dev, training["batcher"], training["accumulate_gradient"], labels)
