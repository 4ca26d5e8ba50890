"""The pipeline component: docs in, annotations out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import srsly
from spacy import util
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Model
from thinc.types import Floats1d

from ..documents.alignment import Alignment, align
from ..documents.merging import align_windows
from ..documents.span_getters import SpanGetter, doc_spans
from ..documents.spans import ScoredSpan
from ..documents.windows import Windows
from ..prompts.prompt import Prompt
from ..prompts.tree import PromptTree
from ..tokenization.arrays import Ints
from ..training.annotated_labels import labels_of
from ..training.gold_trees import Training
from .annotations import annotate
from .deduplicate import Deduplicate
from .diagnostics import Diagnostics
from .labels import check_labels
from .learner import Learner
from .reading import read
from .scorer import ner_score
from .settings import check_settings

if TYPE_CHECKING:
    from ..decoding.decoder import Decoder
    from ..documents.prediction import Prediction

logger = logging.getLogger(__name__)


class PadellmNER(Learner):
    """Named-entity recognition by parallel decoding of a causal LM (arXiv 2402.04838).

    DOCS: https://spacy.io/api/pipe
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[list[PromptTree], Floats1d],
        name: str = "padellm_ner",
        *,
        labels: Sequence[str],
        prompt: Prompt,
        decoder: Decoder,
        deduplicate: Deduplicate,
        spans_key: str = "padellm_ner",
        threshold: float = 0.0,
        alignment_mode: str = "expand",
        update_tokens: int | None = None,
        get_spans: SpanGetter = doc_spans,
        window_tokens: int | None = None,
        window_overlap: int = 0,
        scorer: Callable | None = ner_score,
    ) -> None:
        """Initialize the component; weights load on first need or in `initialize`.

        vocab (Vocab): The shared vocabulary.
        model (thinc.api.Model): The causal LM, see `build_causal_lm`.
        name (str): The component's name in its pipeline.
        labels (Sequence[str]): The labels to ask for; may come later, from `initialize` or
            `add_label`.
        prompt (Prompt): The words of the prompts.
        decoder (Decoder): Says counts and mentions.
        deduplicate (Callable[[Sequence[ScoredSpan]], list[ScoredSpan]]): The rule for spans found
            under several labels.
        spans_key (str): Key of doc.spans for all scored spans.
        threshold (float): Least probability for doc.ents, in [0, 1].
        alignment_mode (str): A mention that ends inside a token: "expand" to whole tokens or
            "drop".
        update_tokens (int | None): Most tokens of one training pass; a larger batch is split and
            its gradients added up. None chooses by device.
        get_spans (Callable[[list[Doc]], list[list[Span]]]): The parts of documents that are read on
            their own, as spacy-transformers' span getters give them.
        window_tokens (int | None): Most model tokens of such a part: a longer one is read in
            windows. None for as many as the model has room for.
        window_overlap (int): Model tokens that two of these windows share, about.
        scorer (Callable | None): The scoring method.
        RAISES (ValueError): A label, threshold or mode of the wrong kind.
        """
        check_settings(
            spans_key=spans_key,
            threshold=threshold,
            alignment_mode=alignment_mode,
            update_tokens=update_tokens,
            deduplicate=deduplicate,
        )
        self.vocab = vocab
        self.model = model
        self.name = name
        self.prompt = prompt
        self.decoder = decoder
        self.deduplicate = deduplicate
        self.windows = Windows(get_spans, window_tokens, window_overlap)
        self.scorer = scorer
        self._diagnostics = Diagnostics(logger, name)
        self._training = Training()
        self.cfg: dict[str, Any] = {
            "labels": check_labels(labels),
            "spans_key": spans_key,
            "threshold": threshold,
            "alignment_mode": alignment_mode,
            "update_tokens": update_tokens,
            "label_definitions": prompt.label_definitions,
        }

    @property
    def label_data(self) -> list[str]:
        """RETURNS (list[str]): The labels, for `spacy init labels`."""
        return list(self.cfg["labels"])

    def add_label(self, label: str) -> int:
        """Add a label; the model can be asked for any, but knows only what it was trained on.

        label (str): The label.
        RETURNS (int): 0 if the label was there, otherwise 1.
        RAISES (ValueError): A label that is not a string, is blank, or looks like another one.
        """
        check_labels([label])
        if label in self.cfg["labels"]:
            return 0
        self.cfg["labels"] = check_labels([*self.cfg["labels"], label])
        return 1

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: list[str] | None = None,
    ) -> None:
        """Load the weights, and find the labels where none are given.

        get_examples (Callable[[], Iterable[Example]]): Gold-standard examples.
        nlp (Language | None): The pipeline.
        labels (list[str] | None): The labels; else those of the config, else all that the first
            10 000 examples have, sorted.
        RAISES (ValueError): No labels anywhere, one that is not a string, or two that look the
            same.
        """
        validate_get_examples(get_examples, "PadellmNER.initialize")
        if labels is not None:
            self.cfg["labels"] = check_labels(labels)
        elif not self.labels:
            found = labels_of(eg.reference for eg in islice(get_examples(), 10_000))
            self.cfg["labels"] = check_labels(found)
        self._require_labels()
        self.model.initialize()

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Apply the component to a stream of documents.

        A document that fails does not take its batch with it: the batch is tried again document
        by document, and the error handler gets those that fail alone.

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
                    done = self(doc)
                    if done is not None:
                        yield done
                continue
            for doc, spans in zip(docs, predictions, strict=True):
                try:
                    self.set_annotations([doc], [spans])
                except Exception as error:
                    self.get_error_handler()(self.name, self, [doc], error)
                    continue
                yield doc

    def predict(self, docs: Iterable[Doc]) -> list[list[ScoredSpan]]:
        """Find the mentions of documents, without modifying them.

        docs (Iterable[Doc]): The documents.
        RETURNS (list[list[ScoredSpan]]): For each document every span found, with its
            probability; overlaps and spans under several labels included.
        RAISES (ValueError): No labels; a model without room for a window.
        """
        docs = list(docs)
        said = self.decode(docs)
        return [self.align(doc, one).spans for doc, one in zip(docs, said, strict=True)]

    def decode(self, docs: Iterable[Doc]) -> list[Prediction]:
        """Let the model say counts and mentions; nothing is looked up in the text yet.

        docs (Iterable[Doc]): The documents.
        RETURNS (list[Prediction]): What was said of each.
        RAISES (ValueError): No labels; a model without room for a window.
        """
        docs = list(docs)
        if not docs:
            return []
        self._require_labels()
        runner, builder = self.shim.runner(), self._builder()

        def say(
            texts: list[str], tokens: list[Ints], ids: list[list[int] | None]
        ) -> list[Prediction]:
            return self.decoder(runner, builder, texts, self.labels, tokens, ids)

        return read(docs, self._divide(docs, builder), say)

    def align(self, doc: Doc, prediction: Prediction) -> Alignment:
        """Find what was said of a document in its text.

        doc (Doc): The document.
        prediction (Prediction): What `decode` gave for it.
        RETURNS (Alignment): Its spans, and the mentions that have no place, with the reasons.
        """
        ignore_case = self.shim.load().codec.ignores_case
        mode = self.cfg["alignment_mode"]
        if prediction.parts:
            alignment = align_windows(doc, prediction, mode=mode, ignore_case=ignore_case)
        else:
            alignment = align(doc, prediction.mentions, mode=mode, ignore_case=ignore_case)
        self._diagnostics(doc, prediction, alignment, self.decoder)
        return alignment

    def set_annotations(self, docs: Iterable[Doc], scores: Iterable[list[ScoredSpan]]) -> None:
        """Write spans onto documents: all to doc.spans, the ones that stand to doc.ents.

        docs (Iterable[Doc]): The documents.
        scores (Iterable[list[ScoredSpan]]): What `predict` found.
        """
        for doc, spans in zip(docs, scores, strict=True):
            annotate(
                doc, spans, self.deduplicate, self.cfg["spans_key"], float(self.cfg["threshold"])
            )

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Serialize the component to a folder: "model" in it is a folder too.

        path (str | Path): The folder.
        exclude (Iterable[str]): Names of fields to leave out.
        """
        serialize = {
            "cfg": lambda place: srsly.write_json(place, self.cfg),
            "vocab": lambda place: self.vocab.to_disk(place, exclude=exclude),
            "model": self.shim.to_disk,
        }
        util.to_disk(path, serialize, exclude)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> PadellmNER:
        """Load the component from what `to_disk` wrote; the base loads on first need.

        path (str | Path): The folder.
        exclude (Iterable[str]): Names of fields to leave out.
        RETURNS (PadellmNER): This component.
        RAISES (ValueError): Settings or a model that are damaged.
        """
        deserialize: dict[str, Callable[[Path], Any]] = {
            "cfg": self._read_cfg,
            "vocab": lambda place: self.vocab.from_disk(place, exclude=exclude),
            "model": self.shim.from_disk,
        }
        util.from_disk(path, deserialize, exclude)
        return self

    def _read_cfg(self, path: Path) -> None:
        try:
            cfg = {**self.cfg, **srsly.read_json(path)}
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} is no JSON object: {error}. Save it again.") from error
        check_labels(cfg["labels"])
        names = ("spans_key", "threshold", "alignment_mode", "update_tokens")
        settings = {name: cfg[name] for name in names}
        check_settings(**settings, deduplicate=self.deduplicate)
        self.cfg.update(cfg)
