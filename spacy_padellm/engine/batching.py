"""Batches of documents within a budget of tokens, split further where they fail."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from .memory import is_out_of_memory, release_cached_memory


def group_by_budget(sizes: Sequence[int], budget: int) -> list[list[int]]:
    """Group documents of similar size up to a budget of tokens.

    sizes (Sequence[int]): Tokens of each document.
    budget (int): Most tokens of a group; a larger document is a group of its own.
    RETURNS (list[list[int]]): Indices of each group, smallest documents first.
    """
    groups: list[list[int]] = []
    room = 0
    for i in sorted(range(len(sizes)), key=lambda i: sizes[i]):
        if not groups or sizes[i] > room:
            groups.append([])
            room = budget
        groups[-1].append(i)
        room -= sizes[i]
    return groups


class BatchQueue:
    """Batches of document indices. While iterating, a batch that failed can be queued again in
    smaller parts, which come next.

    sizes (Sequence[int]): Tokens of each document.
    budget (int): Most tokens of a batch; a single document is never split. It is lowered where
        memory runs out.
    """

    def __init__(self, sizes: Sequence[int], budget: int):
        self.budget = budget
        self._sizes = sizes
        self._batches = deque(group_by_budget(sizes, budget))
        self._retried: set[int] = set()

    def __iter__(self) -> Iterator[list[int]]:
        while self._batches:
            yield self._batches.popleft()

    def n_tokens(self, batch: Sequence[int]) -> int:
        """RETURNS (int): Tokens of the documents of a batch."""
        return sum(self._sizes[i] for i in batch)

    def split(self, batch: Sequence[int]) -> bool:
        """Queue the two halves of a batch.

        batch (Sequence[int]): Indices of documents.
        RETURNS (bool): False for a single document, which can't be split.
        """
        if len(batch) < 2:
            return False
        middle = len(batch) // 2
        self._batches.extendleft([list(batch[middle:]), list(batch[:middle])])
        return True

    def retry_smaller(self, batch: Sequence[int], error: Exception, message: str) -> None:
        """After an out-of-memory error, free cached memory, halve the budget and queue the batch
        and all later ones within it. A single document is tried once more, with the memory that
        was freed.

        batch (Sequence[int]): Indices of documents.
        error (Exception): The error; raised again where it is no out-of-memory error.
        message (str): The message of the error for a single document.
        RAISES (MemoryError): A single document that was tried again already.
        """
        if not is_out_of_memory(error):
            raise error
        release_cached_memory()
        if len(batch) == 1:
            if batch[0] in self._retried:
                raise MemoryError(message) from error
            self._retried.add(batch[0])
            self._batches.appendleft(list(batch))
            return
        self.budget = max(self.n_tokens(batch) // 2, *(self._sizes[i] for i in batch))
        waiting = [list(batch), *self._batches]
        self._batches.clear()
        for documents in waiting:
            groups = group_by_budget([self._sizes[i] for i in documents], self.budget)
            self._batches.extend([documents[i] for i in group] for group in groups)
