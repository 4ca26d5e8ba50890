"""The half of the component that learns."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

from spacy.pipeline.trainable_pipe import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples
from thinc.api import Optimizer
from thinc.types import Floats1d

from ..documents.gold import Gold
from ..documents.windows import Divided, DocWindows, Windows, held_nowhere, window_golds
from ..model.shim import CausalLMShim
from ..prompts.prompt import Prompt
from ..training.gold_of import gold_of, is_usable
from ..training.gold_trees import Training

if TYPE_CHECKING:
    from ..decoding.decoder import Decoder
    from ..prompts.tree_builder import TreeBuilder

logger = logging.getLogger(__name__)

NAMED = 20  # documents that the message of an error names


class Learner(TrainablePipe):
    """Learns the labels' mentions from gold documents.

    cfg (dict[str, Any]): The settings, "labels", "label_definitions" and "update_tokens" among
        them.
    prompt (Prompt): The words of the prompts.
    decoder (Decoder): Asks what is to be learnt.
    windows (Windows): Divides long documents.
    """

    cfg: dict[str, Any]
    prompt: Prompt
    decoder: Decoder
    windows: Windows
    _training: Training

    @property
    def shim(self) -> CausalLMShim:
        """RETURNS (CausalLMShim): What holds network, tokenizer and adapter."""
        return cast(CausalLMShim, self.model.shims[0])

    @property
    def labels(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): The labels, in the order of the prompts."""
        return tuple(self.cfg["labels"])

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
        losses[self.name] += self._accumulate(examples)
        if sgd not in (None, False):
            self.finish_update(sgd)
        return losses

    def finish_update(self, sgd: Optimizer) -> None:
        """Take one step with the gradients of all updates since the last one.

        sgd (thinc.api.Optimizer): The optimizer.
        RAISES (ValueError): A gradient that is not finite, before any weight changed.
        """
        from ..model.optimizer import GradientError

        texts = self._training.take_texts()
        try:
            self.model.finish_update(sgd)
        except GradientError as error:
            raise GradientError(f"{error} The step's documents: {_quoted(texts)}") from error

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
        total = n_targets or len(scores)
        loss = float(scores.sum(keepdims=False)) / max(1, total)
        if loss != loss or loss in (float("inf"), float("-inf")):
            texts = _quoted([eg.reference.text for eg in examples])
            raise ValueError(
                f"The loss is {loss}, so nothing was learnt from this batch. Lower the learning "
                f"rate. Its documents: {texts}"
            )
        return loss, scores * 0 + 1 / max(1, total)

    def gold_windows(
        self,
        examples: Sequence[Example],
        builder: TreeBuilder,
        labels: Sequence[str] | None = None,
    ) -> list[DocWindows]:
        """The windows in which gold documents are learnt.

        They are found in the predicted documents: these have the tokens, and the sentences of an
        annotating component, by which windows will be found later. Where the gold document's text
        is another, they are found in it.

        examples (Sequence[Example]): The gold documents.
        builder (TreeBuilder): Writes the prompts.
        labels (Sequence[str] | None): The labels to ask for, None for the component's.
        RETURNS (list[DocWindows]): Those of each document.
        """
        docs = [
            eg.predicted if eg.predicted.text == eg.reference.text else eg.reference
            for eg in examples
        ]
        return self._divide(docs, builder, labels).windows

    def _accumulate(self, examples: list[Example]) -> float:
        usable = [eg for eg in examples if is_usable(eg.reference, self.labels)]
        golds = [gold_of(eg.reference, self.labels) for eg in usable]
        builder = self._builder()

        def divide(which: list[int]) -> list[list[Gold]]:
            windows = self.gold_windows([usable[i] for i in which], builder)
            return [
                self._window_golds(golds[i], parts) for i, parts in zip(which, windows, strict=True)
            ]

        by_doc = self._training.trees(builder, self.decoder.gold_trees, golds, divide)
        trees = list(chain.from_iterable(by_doc))
        sources = [eg for eg, own in zip(usable, by_doc, strict=True) for _ in own]
        n_targets = sum(tree.n_targets for tree in trees)

        def step(part: list[int]) -> float:
            nll, backprop = self.model.begin_update([trees[i] for i in part])
            loss, gradient = self.get_loss([sources[i] for i in part], nll, n_targets)
            backprop(gradient)
            return loss

        loss = 0.0
        try:
            budget = self.cfg["update_tokens"]
            passes = self._training.passes(budget, self.shim.load().device.type)
            queue = passes.queue([len(tree) for tree in trees])
            for batch in queue:
                try:
                    loss += step(batch)
                except Exception as error:
                    passes.retry_smaller(queue, batch, error)
        except Exception:
            self.shim.drop_gradients()  # of the passes and updates before
            self._training.take_texts()
            raise
        self._training.keep_texts([gold.text for gold in golds])
        return loss

    def _builder(self) -> TreeBuilder:
        prompt = replace(self.prompt, label_definitions=self.cfg["label_definitions"])
        return self.shim.builder(prompt)

    def _window_golds(self, gold: Gold, windows: DocWindows) -> list[Gold]:
        found = window_golds(gold, windows)
        if lost := held_nowhere(gold, found, windows):
            logger.warning(
                "%s: %d of the %d mentions of a gold document lie whole in no window, so they are "
                "not learnt: %r… Let windows overlap (window_overlap, get_spans).",
                self.name,
                lost,
                len(gold.spans),
                gold.text[:60],
            )
        return found

    def _divide(
        self, docs: Sequence[Doc], builder: TreeBuilder, labels: Sequence[str] | None = None
    ) -> Divided:
        most = self.decoder.max_text_tokens(builder, self.labels if labels is None else labels)
        return self.windows.divide(docs, builder.codec, most)

    def _require_labels(self) -> None:
        if not self.labels:
            raise ValueError(
                f"Component {self.name!r} has no labels, so there is nothing to ask for. Give them "
                'in the config (labels = ["person"]), by nlp.get_pipe('
                f'{self.name!r}).add_label("person"), or by nlp.initialize with gold documents.'
            )


def _quoted(texts: Sequence[str]) -> str:
    """RETURNS (str): The beginnings of documents, for a message."""
    quoted = "; ".join(repr(text[:60]) for text in texts[:NAMED])
    return f"{quoted}; and {len(texts) - NAMED} more" if len(texts) > NAMED else quoted
