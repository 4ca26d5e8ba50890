"""Division of documents into shards, and of shards into batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .items import Item

# A shard is closed at this size even if it has few documents. A DocBin takes about fifty times as
# much memory.
SHARD_BYTES = 4_000_000


@dataclass(frozen=True)
class Batch:
    """Documents that are annotated together.

    items (tuple[Item, ...]): The documents, all of the same shard.
    closes (bool): Whether the batch is the last of its shard.
    """

    items: tuple[Item, ...]
    closes: bool


def make_batches(
    items: Iterable[Item],
    n_items: int,
    batch_size: int,
    shard_size: int,
    shard_bytes: int = SHARD_BYTES,
) -> Iterator[Batch]:
    """Divide documents into shards, and these into batches.

    items (Iterable[Item]): The documents, from the start of a shard.
    n_items (int): Their number.
    batch_size (int): Maximum number of documents per batch.
    shard_size (int): Maximum number of documents per shard.
    shard_bytes (int): Size at which a shard ends, in bytes; the document that reaches it is the
        last of the shard.
    YIELDS (Batch): The batches; the last one closes its shard.
    """
    batch: list[Item] = []
    in_shard = size = 0
    for number, item in enumerate(items, 1):
        batch.append(item)
        in_shard += 1
        size += item.size
        closes = in_shard == shard_size or size >= shard_bytes or number == n_items
        if closes or len(batch) == batch_size:
            yield Batch(tuple(batch), closes)
            batch = []
        if closes:
            in_shard = size = 0
