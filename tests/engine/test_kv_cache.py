import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.random_trees import grown_trees
from transformers import DynamicCache

from spacy_padellm.engine.kv_cache import PAD_SLOT, SlotCache
from spacy_padellm.engine.prompt_rows import CachedRows, RecomputedRows, feed_of
from spacy_padellm.prompts.tree import NO_TARGET, Paths


@pytest.fixture(scope="module")
def llama(tiny_model):
    return tiny_model("llama")


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
    """Garbage there could be NaN, and a NaN that nobody sees is still NaN: 0 * NaN."""
    cache = SlotCache(rows=3, capacity=64)
    cache.write_to(torch.tensor([[40]] * 3), 41)
    keys, _ = cache.update(states([1], [1], [1]), states([1], [1], [1]), 0)
    assert keys.sum() == 3


def test_one_row_is_what_transformers_own_cache_gives(llama):
    ids = torch.arange(10, 22)[None]
    with torch.inference_mode():
        own = DynamicCache()
        expected = [
            llama.network(input_ids=part, past_key_values=own).logits[0, -1]
            for part in ids.split([5, 4, 1, 2], dim=1)
        ]
    rows = CachedRows(llama, 1, capacity=3)
    found, start = [], 0
    for length in (5, 4, 1, 2):
        found.append(rows.feed(_run(0, ids[0, start : start + length].tolist(), start))[0])
        start += length
    assert torch.allclose(torch.stack(found), torch.stack(expected), atol=1e-4)


@settings(max_examples=25)
@given(st.data())
def test_any_order_of_feeding_is_one_forward_pass(llama, data):
    """Whatever is fed when, if ancestors come first: rows, passes and memory do not matter."""
    trees = [
        one.tree for one in data.draw(st.lists(grown_trees(causal=True), min_size=1, max_size=3))
    ]
    row_of = data.draw(
        st.lists(st.integers(0, 1), min_size=len(trees), max_size=len(trees)), label="rows"
    )
    # Passes never fall along a path; in one pass ancestors come first.
    pass_of = {}
    for number, tree in enumerate(trees):
        for token in range(len(tree)):
            path = tree.path(int(tree.label[token]), int(tree.mention[token])).tolist()
            before = path.index(token) - 1
            earliest = 0 if before < 0 else pass_of[number, path[before]]
            pass_of[number, token] = earliest + data.draw(st.integers(0, 1))
    rows = CachedRows(llama, 2, capacity=data.draw(st.integers(1, 20)))
    found = {}
    for step in sorted(set(pass_of.values())):
        runs, wanted, names, count = [], [], [], 0
        for number, tree in enumerate(trees):
            tokens = [i for i in range(len(tree)) if pass_of[number, i] == step]
            if not tokens:
                continue
            part = Paths(*(column[tokens] for column in tree.paths(number)))
            runs.append((row_of[number], tree.ids[tokens], part))
            asked = [i for i, token in enumerate(tokens) if tree.target[token] != NO_TARGET]
            wanted += [count + i for i in asked]
            names += [(number, tokens[i]) for i in asked]
            count += len(tokens)
        found.update(zip(names, rows.feed(feed_of(runs, wanted)), strict=True))
    with torch.inference_mode():
        expected = llama.tree_logits(trees)
    found = torch.stack([found[name] for name in sorted(found)])
    assert float((found - expected).norm() / expected.norm()) < 1e-5


def test_hidden_tokens_are_seen_by_nobody(llama):
    """Mention heads asked for too early, then asked anew at other positions on the same path."""
    trunk = _run(0, [10, 11, 12], 0)
    head = (0, [30, 31], _paths([0, 0], [1, 1], [1, 1], [4, 5]))
    digits = [(0, [20 + i], _paths([0], [1], [0], [3 + i])) for i in range(2)]

    rows = CachedRows(llama, 1, 20)
    rows.feed(trunk)
    rows.feed(feed_of([digits[0], head]))
    rows.hide(np.array([1, 2]))
    later = (0, [40], _paths([0], [1], [1], [5]))
    found = rows.feed(feed_of([digits[1], later]))

    with torch.inference_mode():
        sequences = [[10, 11, 12, 20, 21], [10, 11, 12, 20, 21, 40]]
        expected = llama.plain_logits(sequences, np.array([0, 1]), np.array([4, 5]))
    assert torch.allclose(found, expected, atol=1e-4)


def test_rows_of_one_prompt_are_computed_anew(llama):
    rows = RecomputedRows(llama, 2)
    rows.feed(feed_of([(0, [10, 11, 12], _line(0, 3)), (1, [13], _line(0, 1))]))
    found = rows.feed(feed_of([(1, [14, 15], _line(1, 2)), (0, [16], _line(3, 1))]))
    with torch.inference_mode():
        expected = torch.cat(
            [
                llama.network(input_ids=torch.tensor([ids])).logits[:, -1]
                for ids in ([13, 14, 15], [10, 11, 12, 16])
            ]
        )
    assert torch.allclose(found, expected, atol=1e-4)
    rows.hide(np.array([], dtype=np.int64))
    with pytest.raises(ValueError, match="2 tokens to hide, but each row holds one prompt"):
        rows.hide(np.array([0, 1]))


def test_feeds_are_joined_and_ask_for_the_end_of_each_run():
    feed = feed_of([(3, [7, 8], _line(0, 2)), (1, np.array([9]), _line(5, 1))])
    assert feed.row.tolist() == [3, 3, 1]
    assert feed.ids.tolist() == [7, 8, 9]
    assert feed.paths.position.tolist() == [0, 1, 5]
    assert feed.wanted.tolist() == [1, 2]
    assert feed_of([(0, [7, 8], _line(0, 2))], [0]).wanted.tolist() == [0]


def _paths(*columns):
    return Paths(*map(np.array, [*columns, columns[-1]]))


def _line(start, length):
    return Paths([0] * length, [0] * length, [0] * length, *[range(start, start + length)] * 2)


def _run(row, ids, start):
    return feed_of([(row, ids, _line(start, len(ids)))])
