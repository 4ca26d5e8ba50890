from types import SimpleNamespace

from spacy.training.batchers import configure_minibatch, configure_minibatch_by_words

from spacy_padellm.corpus.training_passes import TreeSize, count_batches
from spacy_padellm.engine.batching import group_by_budget


def count(sizes, batcher, accumulate=1, budget=1000):
    """Count the batches of examples that have only sizes."""
    examples = [SimpleNamespace(predicted="x" * size) for size in sizes]

    def measure(example):
        return [TreeSize(length(example), length(example) // 10)] if length(example) else []

    return count_batches(examples, measure, batcher, accumulate, {"gpu": budget})


def length(example):
    return len(example.predicted)


def test_batches_are_split_as_the_component_splits_them():
    counted = count([30, 50, 90, 10], configure_minibatch(3), budget=100)
    passes = counted.passes["gpu"]
    assert (counted.n_batches, passes.n_passes) == (2, 3)  # 30 + 50, 90; 10
    assert (passes.tokens, passes.targets, passes.longest_tree) == (90, 9, 90)
    assert sum(1 for _ in group_by_budget([30, 50, 90], 100)) == 2


def test_gradient_accumulation_splits_first():
    counted = count([30, 50, 90, 10], configure_minibatch(4), accumulate=2)
    passes = counted.passes["gpu"]
    assert (counted.n_batches, passes.n_passes, passes.tokens) == (
        1,
        2,
        140,
    )  # the shorter half first


def test_examples_without_a_tree():
    counted = count([0, 0, 40], configure_minibatch(2))
    passes = counted.passes["gpu"]
    assert (counted.n_batches, passes.n_passes, passes.tokens) == (2, 1, 40)


def test_documents_that_the_batcher_discards_are_counted():
    batcher = configure_minibatch_by_words(
        size=50, tolerance=0.0, discard_oversize=True, get_length=length
    )
    counted = count([30, 90, 20, 70], batcher)
    assert counted.n_discarded == 2
    assert counted.passes["gpu"].tokens == 50
