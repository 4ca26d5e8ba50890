"""Batches within a budget, and the batches that are queued again after a failure."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_padellm.engine.batching import BatchQueue, group_by_budget

FULL = torch.cuda.OutOfMemoryError("full")
SIZES = st.lists(st.integers(1, 100), max_size=40)


@given(SIZES, st.integers(1, 300))
def test_groups_hold_each_document_once_within_the_budget(sizes, budget):
    groups = group_by_budget(sizes, budget)
    assert sorted(i for group in groups for i in group) == list(range(len(sizes)))
    for group in groups:
        assert len(group) == 1 or sum(sizes[i] for i in group) <= budget


@given(SIZES, st.integers(1, 300), st.integers(1, 50))
def test_each_document_is_done_once_whatever_fails(sizes, budget, most):
    """Batches of more than `most` documents fail; their halves follow at once."""
    queue, done = BatchQueue(sizes, budget), []
    for batch in queue:
        if len(batch) > most:
            assert queue.split(batch)
        else:
            done += batch
    assert sorted(done) == list(range(len(sizes)))


def test_halves_of_a_batch_come_next_in_order():
    queue = BatchQueue([1, 1, 1, 9], budget=9)
    batches = iter(queue)
    assert next(batches) == [0, 1, 2]
    assert queue.split([0, 1, 2])
    assert list(batches) == [[0], [1, 2], [3]]
    assert not queue.split([3])


@given(SIZES, st.integers(1, 300))
def test_a_lower_budget_holds_for_all_that_is_left(sizes, budget):
    queue, done = BatchQueue(sizes, budget), []
    for number, batch in enumerate(queue):
        if number == 0 and len(batch) > 1:
            queue.retry_smaller(batch, FULL, "")
            assert queue.budget < budget
            continue
        assert len(batch) == 1 or queue.n_tokens(batch) <= queue.budget
        done += batch
    assert sorted(done) == list(range(len(sizes)))


@given(SIZES, st.integers(1, 300), st.integers(1, 4))
def test_out_of_memory_ends_in_batches_that_fit(sizes, budget, most):
    queue, done = BatchQueue(sizes, budget), []
    for batch in queue:
        if len(batch) > most:
            queue.retry_smaller(batch, FULL, "")
        else:
            done += batch
    assert sorted(done) == list(range(len(sizes)))


def test_a_single_document_is_tried_once_more():
    queue = BatchQueue([1, 1], budget=2)
    batches = iter(queue)
    queue.retry_smaller(next(batches), FULL, "")
    first = next(batches)
    assert first == [0]
    queue.retry_smaller(first, FULL, "")
    assert next(batches) == [0]
    with pytest.raises(MemoryError, match="it does not fit"):
        queue.retry_smaller([0], FULL, "it does not fit")
    assert list(batches) == [[1]]


def test_other_errors_are_raised_again():
    with pytest.raises(ValueError, match="not finite"):
        BatchQueue([1], budget=2).retry_smaller([0], ValueError("not finite"), "")
