"""The base of all decoders: from texts to predictions, in batches."""

from __future__ import annotations

import inspect
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from ..documents.gold import Gold
from ..documents.prediction import Count, Prediction
from ..engine.batching import BatchQueue
from ..engine.runner import Runner
from ..prompts.tree import PromptTree
from ..prompts.tree_builder import KnownIds, TreeBuilder
from ..tokenization.arrays import Ints
from .lattice import ConstraintText
from .logits import NotFiniteError
from .parallel_prompts import parallel_prompts
from .params import DecodingParams, ResolvedParams

logger = logging.getLogger(__name__)

Kind = TypeVar("Kind", bound="Decoder")


@dataclass(frozen=True)
class Decoder(DecodingParams, ABC):
    """Generates counts and mentions of texts. The fields are those of DecodingParams."""

    def __call__(
        self,
        runner: Runner,
        builder: TreeBuilder,
        texts: Sequence[str],
        labels: Sequence[str],
        tokens: Sequence[Ints] | None = None,
        ids: KnownIds = None,
    ) -> list[Prediction]:
        """Decode texts. The prediction of a text does not depend on the others.

        runner (Runner): Runs the model.
        builder (TreeBuilder): Builds the prompts.
        texts (Sequence[str]): The documents' texts. A blank text has no mentions and is not run.
        labels (Sequence[str]): The labels to find.
        tokens (Sequence[Ints] | None): For each text the start and end character of its tokens
            [tokens, 2], whitespace left out: where constrained mentions start and end. None: at
            any character that is not next to a space.
        ids (KnownIds): Token ids of the texts that were tokenized before.
        RETURNS (list[Prediction]): One prediction per text, in input order.
        RAISES (ValueError): A text that is longer than the model's window, or for which the
            model's logits are not finite.
        RAISES (MemoryError): A text that alone does not fit the GPU's memory.
        """
        model = runner.model
        empty = Prediction(tuple(Count(label, 0, 0.0) for label in labels))
        predictions = [empty] * len(texts)
        filled = [i for i, text in enumerate(texts) if text.strip()]
        known = None if ids is None else [ids[i] for i in filled]
        trees = self.question_trees(builder, [texts[i] for i in filled], labels, known)
        model.check_horizons(trees)
        params = self.resolve(model.device, model.max_positions)
        constraint_texts = [
            ConstraintText(texts[i], None if tokens is None else tokens[i]) for i in filled
        ]
        if model.network.training:  # eval() walks over all modules
            model.network.eval()
        sizes = [self.n_prefill_tokens(runner, tree) for tree in trees]
        queue = BatchQueue(sizes, params.batch_tokens)
        for batch in queue:
            batch_trees = [trees[i] for i in batch]
            batch_texts = [constraint_texts[i] for i in batch]
            try:
                with runner.lock:
                    decoded = self.decode(runner, builder, batch_trees, batch_texts, params)
            except NotFiniteError:
                # In a row that documents share, the NaN of one is in all of them.
                if not queue.split(batch):
                    raise NotFiniteError(batch_texts[0].text) from None
                continue
            except torch.cuda.OutOfMemoryError as error:
                runner.release_memory()
                queue.retry_smaller(
                    batch,
                    error,
                    "The GPU's memory does not hold the decoding of one document of "
                    f"{len(batch_trees[0])} prompt tokens: {batch_texts[0].text[:60]!r}…. "
                    "Split it, use fewer labels, or a smaller base.",
                )
                logger.debug("%d documents don't fit the GPU's memory: trying fewer", len(batch))
                continue
            for i, prediction in zip(batch, decoded, strict=True):
                predictions[filled[i]] = prediction
        return predictions

    def gold_trees(self, builder: TreeBuilder, golds: Sequence[Gold]) -> list[PromptTree]:
        """Build the training trees of this decoder: its prompts, with the gold answers as targets.

        builder (TreeBuilder): Builds the prompts.
        golds (Sequence[Gold]): Gold answers.
        RETURNS (list[PromptTree]): One tree per document; here all count prompts and mention
            prompts, each once.
        """
        return parallel_prompts(builder, golds)

    def question_trees(
        self,
        builder: TreeBuilder,
        texts: Sequence[str],
        labels: Sequence[str],
        ids: KnownIds = None,
    ) -> list[PromptTree]:
        """RETURNS (list[PromptTree]): The prompts of the first pass, one tree per text."""
        return builder.question_trees(texts, labels, self.max_count, ids)

    def max_text_tokens(self, builder: TreeBuilder, labels: Sequence[str]) -> int | None:
        """Compute how long a text may be, so that its prompts and answers fit the model's window.

        builder (TreeBuilder): Builds the prompts.
        labels (Sequence[str]): The labels to find.
        RETURNS (int | None): Most tokens of a text; None where the model has no limit.
        """
        heads = map(builder.count_head, labels)
        free = builder.max_text_tokens(heads, builder.reserved_positions(self.max_count))
        return None if free is None else free - min(self.max_mention_tokens, max(free, 0) // 4)

    @abstractmethod
    def n_prefill_tokens(self, runner: Runner, tree: PromptTree) -> int:
        """RETURNS (int): Tokens of the first pass over a tree."""

    @abstractmethod
    def decode(
        self,
        runner: Runner,
        builder: TreeBuilder,
        trees: Sequence[PromptTree],
        texts: Sequence[ConstraintText],
        params: ResolvedParams,
    ) -> list[Prediction]:
        """Decode a batch, all documents together.

        runner (Runner): Runs the model.
        builder (TreeBuilder): Built the trees.
        trees (Sequence[PromptTree]): The prompts of the first pass, at least one tree.
        texts (Sequence[ConstraintText]): The documents' texts.
        params (ResolvedParams): The parameters of this run.
        RETURNS (list[Prediction]): One prediction per tree.
        """


def decoder_factory(kind: type[Kind]) -> Callable[..., Kind]:
    """RETURNS (Callable): The function registered in spaCy's `misc` registry for a decoder class;
    it takes the fields of DecodingParams."""

    def make_decoder(*args: Any, **kwargs: Any) -> Kind:
        return kind(*args, **kwargs)

    make_decoder.__signature__ = inspect.signature(kind)  # type: ignore[attr-defined]
    return make_decoder
