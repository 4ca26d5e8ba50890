"""Fused layers: what transformers' own layers give, for the networks that are built so.

On a CPU they run torch's own operations; with a GPU the same tests run Triton's kernels.
"""

import logging

import pytest
import torch

from spacy_padellm.decoding.replicated import make_replicated_decoder
from spacy_padellm.decoding.struct import make_autoregressive_struct_decoder
from spacy_padellm.decoding.tree_decoder import make_tree_decoder
from spacy_padellm.engine import fused_ops
from spacy_padellm.engine.fused_layers import fits
from spacy_padellm.engine.language_model import LanguageModel
from spacy_padellm.engine.runner import Runner
from spacy_padellm.prompts.tree import Paths

TEXTS = ["the new man in a hat", "a hat", "nun in the inn", "the the the the", "x"]
LABELS = ["a", "new"]
LIKE_LLAMA = {"llama": {}, "qwen2": {}, "mistral": {"sliding_window": None}}


def decode(runner, builder, make, **options):
    decoder = make(max_count=3, max_mention_tokens=6, **options)
    return decoder(runner, builder, TEXTS, LABELS)


@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize(
    "make", [make_tree_decoder, make_replicated_decoder, make_autoregressive_struct_decoder]
)
@pytest.mark.parametrize("name", LIKE_LLAMA)
def test_the_same_answers(tiny_network, toy_codec, toy_builder, device, name, make, graphs):
    model = LanguageModel(tiny_network(name, **LIKE_LLAMA[name]).to(device), toy_codec)
    expected = decode(Runner(model, fuse=False), toy_builder, make)
    runner = Runner(model, fuse=True)
    for _ in range(2):
        found = decode(runner, toy_builder, make, graphs=graphs)
        assert runner.fused_layers is not None
        for one, other in zip(found, expected, strict=True):
            assert [c.number for c in one.counts] == [c.number for c in other.counts]
            assert [m.text for m in one.mentions] == [m.text for m in other.mentions]
            for mention, twin in zip(one.mentions, other.mentions, strict=True):
                assert mention.logprobs == pytest.approx(twin.logprobs, abs=1e-3)


@pytest.mark.parametrize("name", ["gpt2", "gemma2", "gemma3_text", "qwen3", "mistral", "falcon"])
def test_other_networks_are_left_to_transformers(tiny_network, toy_codec, name):
    model = LanguageModel(tiny_network(name), toy_codec)
    assert not fits(model.base, model.config)


def test_a_network_that_only_looks_like_it(tiny_network, toy_codec, toy_builder, caplog):
    network = tiny_network("llama")
    layer = network.model.layers[1].mlp
    layer.register_forward_hook(lambda module, inputs, output: 3 * output)
    runner = Runner(LanguageModel(network, toy_codec), fuse=True)
    with caplog.at_level(logging.WARNING):
        decode(runner, toy_builder, make_tree_decoder)
    assert "are not fused" in caplog.text
    assert runner.fused_layers is None


def test_an_adapter_only_where_it_is_merged(tiny_network, toy_codec, toy_builder):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    config = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
    network = get_peft_model(tiny_network("llama"), config).eval()
    runner = Runner(LanguageModel(network, toy_codec), fuse=True)
    expected = decode(runner, toy_builder, make_tree_decoder)
    assert runner.fused_layers is None
    network.merge_adapter()
    found = decode(runner, toy_builder, make_tree_decoder)
    assert runner.fused_layers is not None
    texts = [[m.text for m in one.mentions] for one in found]
    assert texts == [[m.text for m in one.mentions] for one in expected]


def test_weights_are_trained_afterwards(tiny_network, toy_codec, toy_builder, device):
    losses = []
    for fuses in (False, True):
        model = LanguageModel(tiny_network("llama").to(device), toy_codec)
        runner = Runner(model, fuses)
        expected = decode(runner, toy_builder, make_tree_decoder, graphs=True)
        optimizer = torch.optim.SGD(model.network.parameters(), 0.5)
        trees = toy_builder.gold_trees(["the new man"], [{"a": ["man"], "new": []}])
        for _ in range(3):
            loss = model.nll(trees).sum()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
        found = decode(runner, toy_builder, make_tree_decoder, graphs=True)
        plain = decode(Runner(model, fuse=False), toy_builder, make_tree_decoder)
        assert [[m.text for m in one.mentions] for one in found] == [
            [m.text for m in one.mentions] for one in plain
        ]
        assert [one.mentions for one in found] != [one.mentions for one in expected]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_weights_that_are_fused_late(tiny_network, toy_codec, toy_builder, device):
    """Passes that were captured before the weights were moved are not replayed."""
    network = tiny_network("llama").to(device)
    network.model.layers[1].mlp.register_forward_hook(lambda module, inputs, output: 3 * output)
    model = LanguageModel(network, toy_codec)  # one whose fused layers are rejected
    plain, fused, default = (Runner(model, fuse) for fuse in (False, True, None))
    expected = decode(plain, toy_builder, make_tree_decoder, graphs=False)
    for runner in (plain, plain, fused, fused, default, plain):
        found = decode(runner, toy_builder, make_tree_decoder, graphs=True)
        assert [[m.text for m in one.mentions] for one in found] == [
            [m.text for m in one.mentions] for one in expected
        ]


def test_captured_training_passes_see_where_weights_went(tiny_network, toy_codec, toy_builder):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device: a CPU captures no training passes")
    from spacy_padellm.model.loss_graphs import GraphedLoss

    model = LanguageModel(tiny_network("llama").to("cuda"), toy_codec)
    trees = toy_builder.gold_trees(["the new man"], [{"a": ["man"], "new": []}])
    loss = GraphedLoss(model, autocast=False)
    plain, fused = Runner(model, fuse=False), Runner(model, fuse=True)
    for runner in (plain, fused, fused):
        decode(runner, toy_builder, make_tree_decoder, graphs=True)
        with torch.no_grad():
            for weight in model.network.parameters():
                weight.mul_(0.9)
        found, _ = loss(trees)
        assert torch.allclose(found, model.nll(trees).detach(), atol=1e-4)


def test_whole_checkpoints(tiny_network, toy_codec, toy_builder, tmp_path):
    network = tiny_network("llama")
    runner = Runner(LanguageModel(network, toy_codec), fuse=True)
    decode(runner, toy_builder, make_tree_decoder)
    network.save_pretrained(tmp_path)
    again = type(network).from_pretrained(tmp_path)
    for name, weight in tiny_network("llama").state_dict().items():
        assert torch.equal(again.state_dict()[name], weight), name


def test_losses_run_through_transformers_layers(tiny_network, toy_codec, toy_builder, monkeypatch):
    model = LanguageModel(tiny_network("llama"), toy_codec)
    runner = Runner(model, fuse=True)
    decode(runner, toy_builder, make_tree_decoder)
    assert runner.fused_layers is not None
    monkeypatch.setattr(type(runner.fused_layers), "__call__", None)
    trees = toy_builder.gold_trees(["the new man"], [{"a": ["man"], "new": []}])
    assert model.nll(trees).requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
class TestKernels:
    """Triton's kernels against torch's operations."""

    @pytest.fixture(autouse=True)
    def kernels(self):
        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device: a CPU runs no Triton kernels")
        from spacy_padellm.engine import fused_triton

        torch.manual_seed(0)
        return fused_triton

    def close(self, one, other):
        tolerance = 1e-5 if one.dtype == torch.float32 else 1e-2
        assert torch.allclose(one.float(), other.float(), rtol=tolerance, atol=tolerance)

    def test_path_mask(self, kernels, dtype):
        query = Paths(*torch.randint(0, 3, (5, 2, 70), device="cuda"))
        key = Paths(*torch.randint(0, 3, (5, 2, 200), device="cuda")[:, :, :130])
        expected = fused_ops.path_mask(query, key, 3, dtype)
        assert torch.equal(kernels.path_mask(query, key, 3, dtype), expected)

    @pytest.mark.parametrize("size", [576, 4096, 40])
    def test_add_norm(self, kernels, dtype, size):
        hidden, residual = torch.randn(2, 7, size, device="cuda", dtype=dtype)
        weight = torch.randn(size, device="cuda", dtype=dtype)
        for other in (residual, None):
            found = kernels.add_norm(hidden, other, weight, 1e-5)
            for one, expected in zip(
                found, fused_ops.add_norm(hidden, other, weight, 1e-5), strict=True
            ):
                self.close(one, expected)

    @pytest.mark.parametrize(("heads", "key_heads", "size"), [(9, 3, 64), (8, 8, 128), (6, 2, 12)])
    def test_rotate_and_store(self, kernels, dtype, heads, key_heads, size):
        rows, length, slots = 3, 5, 16
        width = (heads + 2 * key_heads) * size
        states = torch.randn(rows, length, width, device="cuda", dtype=dtype)
        cos, sin = torch.randn(2, rows, length, size, device="cuda", dtype=dtype)
        order = [torch.randperm(slots, device="cuda")[:length] for _ in range(rows)]
        caches = torch.zeros(2, 2, rows, key_heads, slots, size, device="cuda", dtype=dtype)
        found = [
            ops.rotate_and_store(states, cos, sin, torch.stack(order), *cache)
            for ops, cache in zip((kernels, fused_ops), caches, strict=True)
        ]
        self.close(*found)
        self.close(*caches)

    def test_gated(self, kernels, dtype):
        states = torch.randn(7, 2 * 1536, device="cuda", dtype=dtype)
        self.close(kernels.gated(states), fused_ops.gated(states))
