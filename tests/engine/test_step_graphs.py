"""Passes of fixed shapes over memories that stay: what is replayed is what a plain pass gives.

On a CPU the shapes are the same and nothing is captured; with a GPU the same tests replay graphs.
"""

import pytest
import torch

from spacy_padellm.decoding.logits import NotFiniteError
from spacy_padellm.decoding.replicated import make_replicated_decoder
from spacy_padellm.decoding.struct import make_autoregressive_struct_decoder
from spacy_padellm.decoding.tree_decoder import make_tree_decoder
from spacy_padellm.engine import step_graphs
from spacy_padellm.engine.language_model import LanguageModel
from spacy_padellm.engine.prompt_rows import CachedRows, feed_of
from spacy_padellm.prompts.tree import Paths

TEXTS = ["the new man in a hat", "a hat", "nun in the inn", "the the the the", "x", "a man, a hat"]
LABELS = ["a", "new"]
MAKERS = {
    "tree": make_tree_decoder,
    "replicated": make_replicated_decoder,
    "struct": make_autoregressive_struct_decoder,
}


@pytest.fixture
def model(tiny_network, toy_codec, device):
    return LanguageModel(tiny_network("llama").to(device), toy_codec)


def decode(model, builder, kind="tree", texts=TEXTS, **options):
    bounds = {"max_count": 3, "max_mention_tokens": 6}
    return MAKERS[kind](**bounds, **options)(model, builder, texts, LABELS)


def agree(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert [(c.label, c.number) for c in one.counts] == [
            (c.label, c.number) for c in other.counts
        ]
        for mention, twin in zip(one.mentions, other.mentions, strict=True):
            assert (mention.label, mention.text) == (twin.label, twin.text)
            assert mention.logprobs == pytest.approx(twin.logprobs, abs=1e-3)
    return True


@pytest.mark.parametrize("kind", MAKERS)
def test_the_same_answers_again_and_again(model, toy_builder, kind):
    expected = decode(model, toy_builder, kind, graphs=False)
    for _ in range(3):  # plain at first, then captured, then replayed
        assert agree(decode(model, toy_builder, kind, graphs=True), expected)
    for text, one in zip(TEXTS, expected, strict=True):
        assert agree(decode(model, toy_builder, kind, [text], graphs=True), [one])
    assert len(model.step_graphs) > 0


def test_a_shape_is_captured_where_it_comes_again(model, toy_builder):
    decode(model, toy_builder, graphs=True, texts=TEXTS[:1])
    captured = len(model.step_graphs)
    decode(model, toy_builder, graphs=True, texts=TEXTS[:1])
    assert len(model.step_graphs) > captured


def test_updates_of_the_weights_are_seen(model, toy_builder):
    for _ in range(2):
        before = decode(model, toy_builder, graphs=True)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.mul_(1.1)
    captured = len(model.step_graphs)
    found = decode(model, toy_builder, graphs=True)
    assert len(model.step_graphs) >= captured
    assert agree(found, decode(model, toy_builder, graphs=False))
    assert found != before


def test_other_weights_drop_the_graphs(model, toy_builder):
    for _ in range(2):
        decode(model, toy_builder, graphs=True)
    head = model.network.get_output_embeddings()
    head.weight = torch.nn.Parameter(head.weight.detach().clone().flip(0))
    found = decode(model, toy_builder, graphs=True, texts=TEXTS[:1])
    assert agree(found, decode(model, toy_builder, graphs=False, texts=TEXTS[:1]))


def test_another_adapter_drops_the_graphs(tiny_network, toy_codec, toy_builder, device):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    config = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
    network = get_peft_model(tiny_network("llama"), config).to(device).eval()
    network.add_adapter("other", config)
    network.to(device)
    model = LanguageModel(network, toy_codec)
    said = []
    for name in ("default", "other", "default"):
        network.set_adapter(name)
        for _ in range(2):
            found = decode(model, toy_builder, graphs=True)
        assert agree(found, decode(model, toy_builder, graphs=False))
        said.append([[m.text for m in one.mentions] for one in found])
    assert said[0] == said[2] != said[1]


def test_rows_that_outgrow_their_memory(model):
    """They move to a larger one, and what they hold comes along."""
    ids = list(range(10, 210))

    def run(start, end):
        line, zeros = range(start, end), [0] * (end - start)
        return feed_of([(0, ids[start:end], Paths(zeros, zeros, zeros, line, line))])

    found = []
    for graphs in (False, True, True):
        rows = CachedRows(model, 1, 3, graphs)
        found.append([rows.feed(run(i, i + 40)).clone() for i in range(0, 200, 40)])
    for one, other, again in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=1e-4)
        assert torch.allclose(one, again, atol=1e-4)


def test_rows_that_stay_in_a_memory_of_the_same_shape(model):
    """Nine rows and ten have memories of one shape, and so of one place."""

    def run(token, rows, position):
        zero = [0]
        paths = Paths(zero, zero, zero, [position], [position])
        return feed_of([(row, [token + row], paths) for row in range(rows)])

    found = []
    for graphs in (False, True):
        rows = CachedRows(model, 10, 8, graphs)
        rows.feed(run(10, 10, 0))
        rows.keep([9, 7, 5, 3, 1, 0, 2, 4, 6])
        found.append(rows.feed(run(40, 9, 1)).clone())
    assert torch.allclose(*found, atol=1e-4)


def test_sizes_are_rounded_up_to_few():
    rounded = [step_graphs._rounded(n) for n in range(1, 200)]
    assert all(a >= n and a < max(9, 1.5 * n) for n, a in enumerate(rounded, 1))
    assert sorted(set(rounded)) == [8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]


def test_large_passes_are_neither_padded_nor_captured(model, toy_builder, monkeypatch):
    monkeypatch.setattr(step_graphs, "MOST_TOKENS", 4)
    expected = decode(model, toy_builder, graphs=False)
    for _ in range(2):
        assert agree(decode(model, toy_builder, graphs=True), expected)
    assert len(model.step_graphs) == 0


def test_few_graphs_and_memories_are_kept(model, toy_builder, monkeypatch, device):
    monkeypatch.setattr(step_graphs, "MOST_GRAPHS", 3)
    most = 250_000  # a row of 256 slots takes 76 kB
    monkeypatch.setattr(step_graphs, "MOST_BYTES", most)
    monkeypatch.setattr(step_graphs, "GPU_SHARE", 0.0)
    expected = decode(model, toy_builder, graphs=False)
    seen = set()
    for _ in range(2):
        for batch_tokens in (1, 100, 10_000):
            found = decode(model, toy_builder, graphs=True, batch_tokens=batch_tokens)
            assert agree(found, expected)
            assert len(model.step_graphs) <= 3
            # One batch may need more than that by itself, and is alone then.
            graphs = model.step_graphs
            assert graphs.n_bytes <= most or len(graphs._memories) == 1
            seen.add(len(graphs._memories))
    assert device == "cuda" or len(seen) > 1


@pytest.mark.parametrize("most", [1, 10_000_000])
def test_what_memories_push_out_by_turns_is_not_captured_each_time(model, monkeypatch, most):
    monkeypatch.setattr(step_graphs, "MOST_BYTES", most)
    monkeypatch.setattr(step_graphs, "GPU_SHARE", most / 1e13)
    zero = [0]
    for _ in range(4):
        for n_rows in (1, 2):
            feed = feed_of([(row, [10], Paths(*[zero] * 5)) for row in range(n_rows)])
            CachedRows(model, n_rows, 8, graphs=True).feed(feed)
    assert len(model.step_graphs) == (0 if most == 1 else 2)


def test_nan_does_not_outlive_its_batch(model, toy_builder):
    """A memory is used again, and 0 * NaN is NaN."""
    expected = decode(model, toy_builder, graphs=True)
    embeddings = model.network.get_input_embeddings().weight
    kept = embeddings.detach().clone()
    with torch.no_grad():
        embeddings.fill_(torch.nan)
        with pytest.raises(NotFiniteError):
            decode(model, toy_builder, graphs=True)
        embeddings.copy_(kept)
    assert agree(decode(model, toy_builder, graphs=True), expected)
