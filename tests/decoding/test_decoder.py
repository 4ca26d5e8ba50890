import weakref

import pytest

from spacy_padellm.decoding.replicated import ReplicatedDecoder, make_replicated_decoder
from spacy_padellm.decoding.tree_decoder import TreeDecoder, make_tree_decoder
from spacy_padellm.engine.cached_rows import CachedRows
from spacy_padellm.engine.runner import Runner
from spacy_padellm.prompts.tree_builder import TreeBuilder

DECODERS = [(make_tree_decoder, TreeDecoder), (make_replicated_decoder, ReplicatedDecoder)]


@pytest.mark.parametrize(("make", "kind"), DECODERS)
def test_decoders_take_one_set_of_parameters(make, kind):
    assert make() == kind(99, 64, None)
    made = make(max_count=3, max_mention_tokens=4, batch_tokens=5)
    assert (made.max_count, made.max_mention_tokens, made.batch_tokens) == (3, 4, 5)


@pytest.mark.parametrize(("make", "_"), DECODERS)
@pytest.mark.parametrize("name", ["max_count", "max_mention_tokens", "batch_tokens"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "3"])
def test_parameters_below_one_or_of_another_kind(make, _, name, value):
    with pytest.raises(ValueError, match=rf"{name} must be an integer from 1, not {value!r}"):
        make(**{name: value})


@pytest.mark.parametrize(("make", "_"), DECODERS)
def test_a_text_longer_than_the_window(make, _, tiny_model, english):
    """gpt2 has learnt positions: it could not be asked past them at all."""
    model = tiny_model("gpt2", max_position_embeddings=64)
    builder = TreeBuilder(model.codec, english, model.max_positions)
    decode = make(max_count=9, max_mention_tokens=40)
    with pytest.raises(ValueError, match=r"needs \d+ positions .* the model has 64: 'xxx"):
        decode(Runner(model), builder, ["short", "x" * 80], ["a"])

    fitting = max(n for n in range(1, 64) if _fits(builder, "x" * n))
    (prediction,) = decode(Runner(model), builder, ["x" * fitting], ["a"])
    assert prediction.counts[0].label == "a"


def _fits(builder, text):
    try:
        return bool(builder.question_trees([text], ["a"], 9))
    except ValueError:
        return False


@pytest.mark.parametrize("name", ["llama", "gemma3_text"])
@pytest.mark.parametrize(("make", "_"), DECODERS)
def test_a_text_does_not_depend_on_its_batch(make, _, name, tiny_model, toy_builder):
    model = tiny_model(name)
    texts = ["a", "the longest of all these texts by far", "北京", "in the", "", "num " * 8]
    labels = ["x", "place"]
    together = make(max_count=6, max_mention_tokens=5)(Runner(model), toy_builder, texts, labels)
    alone = make(max_count=6, max_mention_tokens=5, batch_tokens=1)(
        Runner(model), toy_builder, texts[::-1], labels
    )[::-1]
    assert sum(len(one.mentions) for one in together) > 1
    for one, other in zip(together, alone, strict=True):
        assert [(c.label, c.number, c.bounded) for c in one.counts] == [
            (c.label, c.number, c.bounded) for c in other.counts
        ]
        assert [(m.label, m.index, m.text) for m in one.mentions] == [
            (m.label, m.index, m.text) for m in other.mentions
        ]
        for mention, twin in zip(one.mentions, other.mentions, strict=True):
            assert mention.logprobs == pytest.approx(twin.logprobs, abs=1e-4)


def test_logits_of_the_first_pass_are_freed(tiny_model, toy_builder, monkeypatch):
    """A batch's largest tensor: those of all counts."""
    first, n_alive, forward = [], [], CachedRows.forward

    def watched(self, step):
        n_alive.append(sum(ref() is not None for ref in first))
        output = forward(self, step)
        if not first:
            first.append(weakref.ref(output.logits))
        return output

    runner, texts = Runner(tiny_model("llama")), ["the new man in a hat"]
    runner.supports_partial_logits()  # its probe runs passes too
    monkeypatch.setattr(CachedRows, "forward", watched)
    decode = make_tree_decoder(max_count=9, max_mention_tokens=4)
    (found,) = decode(runner, toy_builder, texts, ["a", "b"])
    assert found.mentions
    assert len(first) == 1
    assert len(n_alive) > 1
    assert sum(n_alive) == 0
