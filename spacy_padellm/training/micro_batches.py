"""Batches in training passes of bounded size, whose gradients are accumulated."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ..engine.batching import BatchQueue

logger = logging.getLogger(__name__)


class MicroBatches:
    """Splits batches by a budget of tokens, which stays lower once memory has run out.

    budget (int): Most tokens of one pass; a single document is never split.
    """

    def __init__(self, budget: int):
        self.budget = budget

    def queue(self, sizes: Sequence[int]) -> BatchQueue:
        """RETURNS (BatchQueue): The passes of a batch.

        sizes (Sequence[int]): Tokens of each document.
        """
        return BatchQueue(sizes, self.budget)

    def retry_smaller(self, queue: BatchQueue, batch: Sequence[int], error: Exception) -> None:
        """After an out-of-memory error, lower the budget from now on and queue a pass again.

        queue (BatchQueue): The passes of the batch.
        batch (Sequence[int]): The documents of the pass that failed; it left no gradients.
        error (Exception): The error; raised again where it is no out-of-memory error.
        RAISES (MemoryError): A single document that does not fit.
        """
        n_tokens = queue.n_tokens(batch)
        queue.retry_smaller(
            batch,
            error,
            f"The GPU's memory does not hold the training pass of one document of {n_tokens} "
            "prompt tokens. Split long documents, use a LoRA adapter, or a smaller base.",
        )
        if queue.budget < self.budget:
            self.budget = queue.budget
            logger.warning(
                "A training pass of %d tokens did not fit the GPU's memory; from now on passes "
                "have at most %d (update_tokens).",
                n_tokens,
                self.budget,
            )
