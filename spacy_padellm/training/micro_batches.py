"""A batch in passes of bounded size, whose gradients add up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from ..engine.memory import is_out_of_memory

logger = logging.getLogger(__name__)


class MicroBatches:
    """Splits batches by a budget of tokens; where memory runs out, the budget is halved.

    budget (int): Most tokens of one pass. A single document is never split.
    """

    def __init__(self, budget: int):
        self.budget = budget

    def run(self, sizes: Sequence[int], step: Callable[[list[int]], float]) -> float:
        """Run a batch.

        sizes (Sequence[int]): Tokens of each document.
        step (Callable[[list[int]], float]): Runs the documents of these indices forward and back.
            A step that fails leaves no gradients behind.
        RETURNS (float): The sum of what the steps returned.
        RAISES (MemoryError): A single document that does not fit.
        """
        total = 0.0
        waiting = [list(range(len(sizes)))] if sizes else []
        while waiting:
            first, *rest = _split(waiting[0], sizes, self.budget)
            waiting[:1] = rest
            try:
                total += step(first)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self._halve([sizes[i] for i in first], error)
                waiting.insert(0, first)
        return total

    def _halve(self, sizes: Sequence[int], error: Exception) -> None:
        if len(sizes) == 1:
            raise MemoryError(
                f"The GPU's memory does not hold the training pass of one document of {sizes[0]} "
                "prompt tokens. Split long documents, use a LoRA adapter, or a smaller base."
            ) from error
        self.budget = max(sum(sizes) // 2, max(sizes))
        logger.warning(
            "A training pass of %d tokens did not fit the GPU's memory; from now on passes have "
            "at most %d (update_tokens).",
            sum(sizes),
            self.budget,
        )


def _split(documents: Sequence[int], sizes: Sequence[int], budget: int) -> list[list[int]]:
    from ..decoding.decoder import batches

    return [
        [documents[i] for i in group] for group in batches([sizes[i] for i in documents], budget)
    ]
