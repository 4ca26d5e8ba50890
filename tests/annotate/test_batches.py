"""Division of documents into batches and shards."""

from spacy_padellm.annotate.batches import make_batches
from spacy_padellm.annotate.items import Item


def sizes(batches):
    return [(len(batch.items), batch.closes) for batch in batches]


def test_batches_end_with_their_shard():
    items = [Item(0, i, "txt", b"x" * i) for i in range(1, 11)]
    assert sizes(make_batches(items, 10, 3, 4)) == [
        *((3, False), (1, True), (3, False), (1, True), (2, True))
    ]
    assert sizes(make_batches(items[:8], 8, 9, 4)) == [(4, True), (4, True)]
    assert sizes(make_batches(items, 10, 5, 100, shard_bytes=11)) == [
        *((5, True), (2, True), (2, True), (1, True))
    ]
    assert sizes(make_batches([], 0, 3, 4)) == []
