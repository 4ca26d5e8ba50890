import pytest
import torch

from spacy_padellm.engine.kv_cache import PAD_SLOT, SlotCache


def states(*values):
    """Keys of one head of size 1: [rows, 1, length, 1]."""
    return torch.tensor(values, dtype=torch.float32)[:, None, :, None]


def written(cache, slots, *values, layer=0):
    cache.write_to(torch.tensor(slots), max(cache.used, 1 + max(map(max, slots))))
    keys, doubled = cache.update(states(*values), 2 * states(*values), layer)
    assert torch.equal(doubled, 2 * keys)
    return keys[:, 0, :, 0].tolist()


def test_tokens_go_to_the_slots_that_the_caller_names():
    cache = SlotCache(rows=2, capacity=6)
    assert written(cache, [[1, 2], [3, PAD_SLOT]], [5, 6], [7, 8]) == [[0, 5, 6, 0], [8, 0, 0, 7]]
    assert written(cache, [[4], [1]], [9], [10]) == [[0, 5, 6, 0, 9], [8, 10, 0, 7, 0]]
    assert cache.get_seq_length() == cache.used == 5


def test_rows_move_to_a_larger_cache():
    cache, larger = SlotCache(rows=2, capacity=2), SlotCache(rows=3, capacity=5)
    written(cache, [[1], [1]], [5], [6])
    with pytest.raises(ValueError, match="A row needs 4 slots, and the cache has 2"):
        cache.write_to(torch.tensor([[3], [3]]), 4)
    cache.move(larger, torch.tensor([1]), 2)
    found = written(larger, [[2, 3], [1, PAD_SLOT], [1, 2]], [7, 8], [9, 1], [2, 3])
    assert found == [[0, 6, 7, 8], [1, 9, 0, 0], [0, 2, 3, 0]]


def test_a_cleared_cache_holds_zeros():
    cache = SlotCache(rows=1, capacity=3)
    written(cache, [[1]], [5])
    cache.clear()
    assert cache.used == 0
    assert written(cache, [[2]], [6]) == [[0, 0, 6]]


def test_layers_are_apart():
    cache = SlotCache(rows=1, capacity=4)
    cache.write_to(torch.tensor([[1]]), 2)
    cache.update(states([5]), states([5]), 0)
    keys, _ = cache.update(states([6]), states([6]), 1)
    assert keys.flatten().tolist() == [0, 6]
    assert len(cache) == 2


def test_unused_slots_are_zeros():
    """Garbage there could be NaN, and a masked NaN is still NaN: 0 * NaN."""
    cache = SlotCache(rows=3, capacity=64)
    cache.write_to(torch.tensor([[40]] * 3), 41)
    keys, _ = cache.update(states([1], [1], [1]), states([1], [1], [1]), 0)
    assert keys.sum() == 3
