"""The pipeline component `padellm_ner`."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer
from thinc.types import Floats1d

from ..documents.alignment import Alignment, align
from ..documents.merging import align_windows
from ..documents.span_getters import SpanGetter, doc_spans
from ..documents.spans import ScoredSpan
from ..documents.windows import Windows
from ..prompts.prompt import Prompt
from ..prompts.tree import PromptTree
from ..training.annotated_labels import labels_of
from ..training.trainer import GoldBatch, Trainer
from .annotations import annotate
from .causal_lm_pipe import CausalLMPipe
from .deduplicate import Deduplicate
from .diagnostics import Diagnostics, quote_texts
from .labels import check_labels
from .scorer import ner_score
from .segments import decode_documents
from .settings import check_settings

if TYPE_CHECKING:
    from ..decoding.decoder import Decoder
    from ..documents.prediction import Prediction

logger = logging.getLogger(__name__)

LABEL_EXAMPLES = 10_000  # that `initialize` reads to find the labels


class PadellmNER(CausalLMPipe):
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
        labels (Sequence[str]): The labels in the prompts; may come later, from `initialize` or
            `add_label`.
        prompt (Prompt): The words of the prompts.
        decoder (Decoder): Generates counts and mentions.
        deduplicate (Callable[[Sequence[ScoredSpan]], list[ScoredSpan]]): The rule for spans found
            under several labels.
        spans_key (str): Key of doc.spans for all scored spans.
        threshold (float): Least probability for doc.ents, in [0, 1].
        alignment_mode (str): A mention that ends inside a token: "expand" to whole tokens or
            "drop".
        update_tokens (int | None): Most tokens of one training pass; a larger batch is split and
            its gradients added up. None chooses by device.
        get_spans (Callable[[list[Doc]], list[list[Span]]]): The parts of documents that are decoded
            on their own, as spacy-transformers' span getters give them.
        window_tokens (int | None): Most model tokens of such a part: a longer one is divided into
            windows. None for as many as the model has room for.
        window_overlap (int): Model tokens that two of these windows share, about.
        scorer (Callable | None): The scoring method.
        RAISES (ValueError): A label, threshold or mode of the wrong kind.
        """
        settings = {
            "labels": labels,
            "spans_key": spans_key,
            "threshold": threshold,
            "alignment_mode": alignment_mode,
            "update_tokens": update_tokens,
            "label_definitions": prompt.label_definitions,
        }
        self.cfg = check_settings(settings, deduplicate)
        self.vocab = vocab
        self.model = model
        self.name = name
        self.prompt = prompt
        self.decoder = decoder
        self.deduplicate = deduplicate
        self.windows = Windows(get_spans, window_tokens, window_overlap)
        self.scorer = scorer
        self._diagnostics = Diagnostics(logger, name)
        self._trainer = Trainer(name)

    def predict(self, docs: Iterable[Doc]) -> list[list[ScoredSpan]]:
        """Find the mentions of documents, without modifying them.

        docs (Iterable[Doc]): The documents.
        RETURNS (list[list[ScoredSpan]]): For each document every span found, with its
            probability; overlaps and spans under several labels included.
        RAISES (ValueError): No labels; a model without room for a window.
        """
        docs = list(docs)
        predictions = self.decode(docs)
        return [
            self.align(doc, prediction).spans
            for doc, prediction in zip(docs, predictions, strict=True)
        ]

    def decode(self, docs: Iterable[Doc]) -> list[Prediction]:
        """Generate counts and mentions, which are not yet aligned with the text.

        docs (Iterable[Doc]): The documents.
        RETURNS (list[Prediction]): One prediction per document, in input order.
        RAISES (ValueError): No labels; a model without room for a window.
        """
        docs = list(docs)
        if not docs:
            return []
        self._require_labels()
        runner, builder = self.shim.runner(), self.tree_builder()
        max_tokens = self.decoder.max_text_tokens(builder, self.labels)
        divided = self.windows.split(docs, builder.codec, max_tokens)
        return decode_documents(self.decoder, runner, builder, self.labels, docs, divided)

    def align(self, doc: Doc, prediction: Prediction) -> Alignment:
        """Align the mentions of a document with its text.

        doc (Doc): The document.
        prediction (Prediction): What `decode` returned for it.
        RETURNS (Alignment): Its spans, and the mentions without a span, with the reasons.
        """
        ignore_case = self.shim.load().codec.ignores_case
        mode = self.cfg["alignment_mode"]
        if prediction.parts:
            alignment = align_windows(doc, prediction, mode=mode, ignore_case=ignore_case)
        else:
            alignment = align(doc, prediction.mentions, mode=mode, ignore_case=ignore_case)
        self._diagnostics.log(doc, prediction, alignment, self.decoder)
        return alignment

    def set_annotations(self, docs: Iterable[Doc], scores: Iterable[list[ScoredSpan]]) -> None:
        """Write spans onto documents: all to doc.spans, those without overlaps to doc.ents.

        docs (Iterable[Doc]): The documents.
        scores (Iterable[list[ScoredSpan]]): What `predict` returned.
        """
        threshold = float(self.cfg["threshold"])
        for doc, spans in zip(docs, scores, strict=True):
            annotate(doc, spans, self.deduplicate, self.cfg["spans_key"], threshold)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from gold entities.

        examples (Iterable[Example]): A batch of examples.
        drop (float): Not used: dropout is the adapter's own (`lora_dropout`).
        sgd (thinc.api.Optimizer | None): The optimizer.
        losses (dict[str, float] | None): Losses so far, by component.
        RETURNS (dict[str, float]): The losses, with this batch's mean negative log-likelihood of
            a target token added.
        RAISES (ValueError): A loss or a gradient that is not finite, before any weight changed.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "PadellmNER.update")
        self._require_labels()
        batch = self._trainer.gold_batch(
            examples, self.labels, self.tree_builder(), self.decoder, self.windows
        )
        losses[self.name] += self._add_gradients(batch)
        if sgd not in (None, False):
            self.finish_update(sgd)
        return losses

    def _add_gradients(self, batch: GoldBatch) -> float:
        """RETURNS (float): The loss of a batch, whose passes have added up their gradients."""
        try:
            device_type = self.shim.load().device.type
            passes = self._trainer.micro_batches(self.cfg["update_tokens"], device_type)
            queue, loss = passes.queue(batch.sizes), 0.0
            for indices in queue:
                try:
                    loss += self._run_pass(batch, indices)
                except Exception as error:
                    passes.retry_smaller(queue, indices, error)
        except Exception:
            self.shim.drop_gradients()  # of the passes and updates before
            self._trainer.take_texts()
            raise
        self._trainer.add_texts(batch.texts)
        return loss

    def _run_pass(self, batch: GoldBatch, indices: Sequence[int]) -> float:
        """RETURNS (float): The share of some trees in the loss of their batch."""
        nll, backprop = self.model.begin_update([batch.trees[i] for i in indices])
        examples = [batch.examples[i] for i in indices]
        loss, gradient = self.get_loss(examples, nll, batch.n_targets)
        backprop(gradient)
        return loss

    def finish_update(self, sgd: Optimizer) -> None:
        """Take one step with the gradients of all updates since the last one.

        sgd (thinc.api.Optimizer): The optimizer.
        RAISES (ValueError): A gradient that is not finite, before any weight changed.
        """
        from ..model.optimizer import GradientError

        texts = self._trainer.take_texts()
        try:
            self.model.finish_update(sgd)
        except GradientError as error:
            raise GradientError(f"{error} The step's documents: {quote_texts(texts)}") from error

    def get_loss(
        self, examples: Iterable[Example], scores: Floats1d, n_targets: int | None = None
    ) -> tuple[float, Floats1d]:
        """Mean negative log-likelihood of a target token, and its gradient.

        examples (Iterable[Example]): The examples, for the message of an error.
        scores (Floats1d): Negative log-likelihood of each target [targets].
        n_targets (int | None): Targets of the whole batch where scores are a part of it.
        RETURNS (tuple[float, Floats1d]): The loss, and its gradient [targets].
        RAISES (ValueError): A loss that is not finite.
        """
        total = max(1, n_targets or len(scores))
        loss = float(scores.sum(keepdims=False)) / total
        if not math.isfinite(loss):
            texts = quote_texts([eg.reference.text for eg in examples])
            raise ValueError(
                f"The loss is {loss}, so nothing was learnt from this batch. Lower the learning "
                f"rate. Its documents: {texts}"
            )
        return loss, scores * 0 + 1 / total

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: list[str] | None = None,
    ) -> None:
        """Load the weights, and collect the labels where none are given.

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
            references = (eg.reference for eg in islice(get_examples(), LABEL_EXAMPLES))
            self.cfg["labels"] = check_labels(labels_of(references))
        self._require_labels()
        self.model.initialize()
