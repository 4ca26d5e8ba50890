"""Passes of fixed shapes over KV rows that stay in place: a replayed pass equals a plain one.

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
from spacy_padellm.engine.runner import Runner
from spacy_padellm.engine.step import StepInput
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


@pytest.fixture
def runner(model):
    return Runner(model)


def decode(runner, builder, kind="tree", texts=TEXTS, **options):
    params = {"max_count": 3, "max_mention_tokens": 6}
    return MAKERS[kind](**params, **options)(runner, builder, texts, LABELS)


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
def test_the_same_answers_again_and_again(runner, toy_builder, kind):
    expected = decode(runner, toy_builder, kind, graphs=False)
    for _ in range(3):  # plain at first, then captured, then replayed
        assert agree(decode(runner, toy_builder, kind, graphs=True), expected)
    for text, one in zip(TEXTS, expected, strict=True):
        assert agree(decode(runner, toy_builder, kind, [text], graphs=True), [one])
    assert len(runner.graphs) > 0


def test_a_shape_is_captured_where_it_comes_again(runner, toy_builder):
    decode(runner, toy_builder, graphs=True, texts=TEXTS[:1])
    captured = len(runner.graphs)
    decode(runner, toy_builder, graphs=True, texts=TEXTS[:1])
    assert len(runner.graphs) > captured


def test_updates_of_the_weights_are_seen(runner, toy_builder):
    for _ in range(2):
        before = decode(runner, toy_builder, graphs=True)
    with torch.no_grad():
        for parameter in runner.model.network.parameters():
            parameter.mul_(1.1)
    captured = len(runner.graphs)
    found = decode(runner, toy_builder, graphs=True)
    assert len(runner.graphs) >= captured
    assert agree(found, decode(runner, toy_builder, graphs=False))
    assert found != before


def test_other_weights_drop_the_graphs(runner, toy_builder):
    for _ in range(2):
        decode(runner, toy_builder, graphs=True)
    head = runner.model.network.get_output_embeddings()
    head.weight = torch.nn.Parameter(head.weight.detach().clone().flip(0))
    found = decode(runner, toy_builder, graphs=True, texts=TEXTS[:1])
    assert agree(found, decode(runner, toy_builder, graphs=False, texts=TEXTS[:1]))


def test_another_adapter_drops_the_graphs(tiny_network, toy_codec, toy_builder, device):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    config = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
    network = get_peft_model(tiny_network("llama"), config).to(device).eval()
    network.add_adapter("other", config)
    network.to(device)
    runner = Runner(LanguageModel(network, toy_codec))
    texts = []
    for name in ("default", "other", "default"):
        network.set_adapter(name)
        for _ in range(2):
            found = decode(runner, toy_builder, graphs=True)
        assert agree(found, decode(runner, toy_builder, graphs=False))
        texts.append([[m.text for m in one.mentions] for one in found])
    assert texts[0] == texts[2] != texts[1]


def test_rows_that_outgrow_their_capacity(runner):
    """They move to larger KV rows, with all that they hold."""
    ids = list(range(10, 210))

    def run(start, end):
        line, zeros = range(start, end), [0] * (end - start)
        return StepInput.of_runs([(0, ids[start:end], Paths(zeros, zeros, zeros, line, line))])

    found = []
    for graphs in (False, True, True):
        rows = runner.start_rows(1, 3, graphs)
        found.append([rows.forward(run(i, i + 40)).logits.clone() for i in range(0, 200, 40)])
    for one, other, again in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=1e-4)
        assert torch.allclose(one, again, atol=1e-4)


def test_rows_that_stay_in_kv_rows_of_the_same_shape(runner):
    """Nine rows and ten have KV rows of one shape, and so the same memory."""

    def run(token, rows, position):
        zero = [0]
        paths = Paths(zero, zero, zero, [position], [position])
        return StepInput.of_runs([(row, [token + row], paths) for row in range(rows)])

    found = []
    for graphs in (False, True):
        rows = runner.start_rows(10, 8, graphs)
        rows.forward(run(10, 10, 0))
        rows.keep([9, 7, 5, 3, 1, 0, 2, 4, 6])
        found.append(rows.forward(run(40, 9, 1)).logits.clone())
    assert torch.allclose(*found, atol=1e-4)


def test_sizes_are_rounded_up_to_few():
    rounded = [step_graphs._rounded(n) for n in range(1, 200)]
    assert all(a >= n and a < max(9, 1.5 * n) for n, a in enumerate(rounded, 1))
    assert sorted(set(rounded)) == [8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]


def test_large_passes_are_neither_padded_nor_captured(runner, toy_builder, monkeypatch):
    monkeypatch.setattr(step_graphs, "MAX_TOKENS", 4)
    expected = decode(runner, toy_builder, graphs=False)
    for _ in range(2):
        assert agree(decode(runner, toy_builder, graphs=True), expected)
    assert len(runner.graphs) == 0


def test_few_graphs_and_kv_rows_are_kept(runner, toy_builder, monkeypatch, device):
    monkeypatch.setattr(step_graphs, "MAX_GRAPHS", 3)
    most = 250_000  # a row of 256 slots takes 76 kB
    monkeypatch.setattr(step_graphs, "MAX_BYTES", most)
    monkeypatch.setattr(step_graphs, "GPU_SHARE", 0.0)
    expected = decode(runner, toy_builder, graphs=False)
    seen = set()
    for _ in range(2):
        for batch_tokens in (1, 100, 10_000):
            found = decode(runner, toy_builder, graphs=True, batch_tokens=batch_tokens)
            assert agree(found, expected)
            assert len(runner.graphs) <= 3
            # One batch may need more than that by itself, and is alone then.
            graphs = runner.graphs
            assert graphs.n_bytes <= most or len(graphs._kv_rows) == 1
            seen.add(len(graphs._kv_rows))
    assert device == "cuda" or len(seen) > 1


@pytest.mark.parametrize("most", [1, 10_000_000])
def test_kv_rows_that_evict_each_other_are_not_captured_each_time(runner, monkeypatch, most):
    monkeypatch.setattr(step_graphs, "MAX_BYTES", most)
    monkeypatch.setattr(step_graphs, "GPU_SHARE", most / 1e13)
    zero = [0]
    for _ in range(4):
        for n_rows in (1, 2):
            step = StepInput.of_runs([(row, [10], Paths(*[zero] * 5)) for row in range(n_rows)])
            runner.start_rows(n_rows, 8, graphs=True).forward(step)
    assert len(runner.graphs) == (0 if most == 1 else 2)


def test_nan_does_not_outlive_its_batch(runner, toy_builder):
    """KV rows are used again, and 0 * NaN is NaN."""
    expected = decode(runner, toy_builder, graphs=True)
    embeddings = runner.model.network.get_input_embeddings().weight
    kept = embeddings.detach().clone()
    with torch.no_grad():
        embeddings.fill_(torch.nan)
        with pytest.raises(NotFiniteError):
            decode(runner, toy_builder, graphs=True)
        embeddings.copy_(kept)
    assert agree(decode(runner, toy_builder, graphs=True), expected)
