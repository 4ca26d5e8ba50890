"""A GPU's memory that runs out: less work is tried, nothing is lost, and the order stays."""

import pytest
import torch

from spacy_padellm.decoding.tree_decoder import TreeDecoder
from spacy_padellm.engine.language_model import LanguageModel
from spacy_padellm.engine.memory import is_out_of_memory
from spacy_padellm.engine.runner import Runner
from spacy_padellm.training.micro_batches import MicroBatches

TEXTS = ["the new man", "a hat", "nun in the inn", "the the the the", "a"]


def full(*_):
    raise torch.cuda.OutOfMemoryError("CUDA out of memory (a test's)")


def run(passes, sizes, step):
    queue, total = passes.queue(sizes), 0.0
    for batch in queue:
        try:
            total += step(batch)
        except Exception as error:
            passes.retry_smaller(queue, batch, error)
    return total


def said(predictions):
    return [([m.text for m in one.mentions], [c.number for c in one.counts]) for one in predictions]


def test_other_errors_are_not_lack_of_memory():
    assert is_out_of_memory(torch.cuda.OutOfMemoryError("full"))
    assert not is_out_of_memory(RuntimeError("CUDA error"))
    assert not is_out_of_memory(MemoryError())


@pytest.mark.parametrize("most", [1, 2, 3])
def test_decoding_goes_on_with_halves(tiny_network, toy_codec, toy_builder, most):
    model = LanguageModel(tiny_network("llama"), toy_codec)
    expected = TreeDecoder(max_count=2)(Runner(model), toy_builder, TEXTS, ["a"])

    class Full(TreeDecoder):
        def decode(self, model, builder, trees, *rest):
            return full() if len(trees) > most else super().decode(model, builder, trees, *rest)

    found = Full(max_count=2)(Runner(model), toy_builder, TEXTS, ["a"])
    assert said(found) == said(expected)


def test_one_document_that_does_not_fit_is_an_error(tiny_network, toy_codec, toy_builder):
    class Full(TreeDecoder):
        decode = full

    model = LanguageModel(tiny_network("llama"), toy_codec)
    with pytest.raises(MemoryError, match=r"one document of \d+ prompt tokens: 'a'.*smaller base"):
        Full()(Runner(model), toy_builder, TEXTS, ["a"])


def test_one_document_is_tried_again_with_the_freed_memory(
    tiny_network, toy_codec, toy_builder, monkeypatch
):
    model = LanguageModel(tiny_network("llama"), toy_codec)
    runner = Runner(model)
    expected = TreeDecoder(max_count=2)(runner, toy_builder, TEXTS, ["a"])
    held = []
    monkeypatch.setattr(runner, "release_memory", held.clear)

    class Full(TreeDecoder):
        def decode(self, model, builder, trees, *rest):
            if held:
                full()
            held.append(trees)  # as captured passes do
            return super().decode(model, builder, trees, *rest)

    found = Full(max_count=2, batch_tokens=1)(runner, toy_builder, TEXTS, ["a"])
    assert said(found) == said(expected)


def test_training_goes_on_with_a_smaller_budget():
    done = []

    def step(part):
        if sum(sizes[i] for i in part) > 50:
            full()
        done.append(part)
        return float(len(part))

    sizes = [10, 20, 30, 40, 50, 5]
    passes = MicroBatches(100)
    assert run(passes, sizes, step) == len(sizes)
    assert sorted(i for part in done for i in part) == list(range(len(sizes)))
    assert passes.budget == 32  # half of the first pass, of 65
    done.clear()
    assert run(passes, [25, 25, 25], step) == 3  # nothing fails now
    assert all(len(part) == 1 for part in done)


def test_training_one_document_that_does_not_fit_is_an_error():
    with pytest.raises(MemoryError, match=r"one document of 60 prompt tokens"):
        run(MicroBatches(100), [60], full)


def test_other_errors_of_a_step_are_raised():
    def step(part):
        raise ValueError("not finite")

    with pytest.raises(ValueError, match="not finite"):
        run(MicroBatches(100), [10, 10], step)
