"""A spaCy pipe around a causal LM that is prompted with labels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import srsly
from spacy import util
from spacy.pipeline.trainable_pipe import TrainablePipe
from spacy.tokens import Doc

from ..model.shim import CausalLMShim
from ..prompts.prompt import Prompt
from .deduplicate import Deduplicate
from .labels import check_labels
from .settings import read_settings

if TYPE_CHECKING:
    from ..prompts.tree_builder import TreeBuilder

logger = logging.getLogger(__name__)


class CausalLMPipe(TrainablePipe):
    """Labels, streaming and serialization of a component whose model is a causal LM.

    Other than in spaCy's TrainablePipe, a document that fails does not take its batch with it, and
    `to_disk` writes "model" as a folder.

    DOCS: https://spacy.io/api/pipe
    """

    cfg: dict[str, Any]
    prompt: Prompt
    deduplicate: Deduplicate

    @property
    def shim(self) -> CausalLMShim:
        """RETURNS (CausalLMShim): Holds network, tokenizer and adapter."""
        return cast(CausalLMShim, self.model.shims[0])

    @property
    def prompt_with_definitions(self) -> Prompt:
        """RETURNS (Prompt): The prompt with the component's own label definitions."""
        return replace(self.prompt, label_definitions=self.cfg["label_definitions"])

    def tree_builder(self) -> TreeBuilder:
        """RETURNS (TreeBuilder): Builds the component's prompt trees. Loads the weights."""
        return self.shim.builder(self.prompt_with_definitions)

    def add_label(self, label: str) -> int:
        """Add a label to the prompts; the model finds only mentions of labels it was trained on.

        label (str): The label.
        RETURNS (int): 0 if the label is already present, otherwise 1.
        RAISES (ValueError): A label that is not a string, is blank, or looks like another one.
        """
        check_labels([label])
        if label in self.cfg["labels"]:
            return 0
        self.cfg["labels"] = check_labels([*self.cfg["labels"], label])
        return 1

    @property
    def labels(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): The labels, in the order of the prompts."""
        return tuple(self.cfg["labels"])

    @property
    def label_data(self) -> list[str]:
        """RETURNS (list[str]): The labels, for `spacy init labels`."""
        return list(self.cfg["labels"])

    def _require_labels(self) -> None:
        if not self.labels:
            raise ValueError(
                f"Component {self.name!r} has no labels, so there is nothing to prompt for. Give "
                'them in the config (labels = ["person"]), by nlp.get_pipe('
                f'{self.name!r}).add_label("person"), or by nlp.initialize with gold documents.'
            )

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Apply the component to a stream of documents.

        A batch that fails is processed again document by document; the error handler gets only the
        documents that fail alone.

        stream (Iterable[Doc]): A stream of documents.
        batch_size (int): The number of documents to buffer.
        YIELDS (Doc): Processed documents in order.
        """
        for docs in util.minibatch(stream, size=batch_size):
            try:
                predictions = self.predict(docs)
            except Exception as error:
                logger.warning(
                    "%s: a batch of %d documents failed and is tried again one by one: %s",
                    self.name,
                    len(docs),
                    error,
                )
                for doc in docs:
                    processed = self(doc)
                    if processed is not None:
                        yield processed
                continue
            for doc, prediction in zip(docs, predictions, strict=True):
                try:
                    self.set_annotations([doc], [prediction])
                except Exception as error:
                    self.get_error_handler()(self.name, self, [doc], error)
                    continue
                yield doc

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Serialize the component to a folder: "model" in it is a folder too.

        path (str | Path): The folder.
        exclude (Iterable[str]): Names of fields to leave out.
        """
        serialize = {
            "cfg": lambda p: srsly.write_json(p, self.cfg),
            "vocab": lambda p: self.vocab.to_disk(p, exclude=exclude),
            "model": self.shim.to_disk,
        }
        util.to_disk(path, serialize, exclude)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> CausalLMPipe:
        """Load the component from what `to_disk` wrote; the base loads on first need.

        path (str | Path): The folder.
        exclude (Iterable[str]): Names of fields to leave out.
        RETURNS (CausalLMPipe): This component.
        RAISES (ValueError): Settings or a model that are damaged.
        """
        deserialize: dict[str, Callable[[Path], Any]] = {
            "cfg": lambda p: self.cfg.update(read_settings(p, self.cfg, self.deduplicate)),
            "vocab": lambda p: self.vocab.from_disk(p, exclude=exclude),
            "model": self.shim.from_disk,
        }
        util.from_disk(path, deserialize, exclude)
        return self
