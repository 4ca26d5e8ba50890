"""Runners: how passes of one model are run, and what they follow."""

import pytest
import torch

from spacy_padellm.decoding.tree_decoder import TreeDecoder
from spacy_padellm.engine.cached_rows import CachedRows
from spacy_padellm.engine.language_model import LanguageModel
from spacy_padellm.engine.recomputed_rows import RecomputedRows
from spacy_padellm.engine.runner import Runner

TEXTS = ["the new man in a hat", "a hat"]


@pytest.fixture
def model(tiny_network, toy_codec):
    return LanguageModel(tiny_network("llama"), toy_codec)


def decode(runner, builder, **params):
    return TreeDecoder(max_count=2, max_mention_tokens=4, **params)(runner, builder, TEXTS, ["a"])


def test_rows_behind_a_kv_cache_need_tree_masks(model):
    assert isinstance(Runner(model).start_rows(1, 1), CachedRows)
    model.supports_tree_mask = False
    assert isinstance(Runner(model).start_rows(1, 1), RecomputedRows)


def test_layers_are_fused_on_a_gpu_alone(model):
    assert Runner(model).fuses is False
    assert Runner(model, fuse=True).fuses is True
    Runner(model).start_rows(1, 1)
    assert Runner(model).fused_layers is None


def test_a_model_that_leaves_the_gpu_is_not_fused_any_more(model, toy_builder):
    runner = Runner(model, fuse=True)
    expected = decode(runner, toy_builder)
    assert runner.fused_layers is not None
    runner._fuse = None  # as where the model has moved to a CPU
    assert decode(runner, toy_builder) == decode(Runner(model), toy_builder)
    assert runner.fused_layers is None
    assert [p.counts for p in expected] == [p.counts for p in decode(runner, toy_builder)]


def test_passes_of_other_layers_are_not_replayed(model, toy_builder):
    runner = Runner(model, fuse=True)
    for _ in range(3):
        decode(runner, toy_builder, graphs=True)
    assert len(runner.graphs) > 0
    runner._fuse = False
    runner.start_rows(1, 1, graphs=True)
    assert len(runner.graphs) == 0


def test_captured_passes_are_dropped_to_release_memory(model, toy_builder):
    runner = Runner(model)
    for _ in range(3):
        decode(runner, toy_builder, graphs=True)
    assert runner.graphs.n_bytes > 0
    runner.release_memory()
    assert runner.graphs.n_bytes == len(runner.graphs) == 0


def test_fused_layers_follow_the_weights(model, toy_builder):
    runner = Runner(model, fuse=True)
    decode(runner, toy_builder)
    first = runner.fused_layers
    decode(runner, toy_builder)
    assert runner.fused_layers is first
    head = model.network.get_output_embeddings()
    head.weight = torch.nn.Parameter(head.weight.detach().clone().flip(0))
    assert decode(runner, toy_builder) == decode(Runner(model, fuse=True), toy_builder)
    assert runner.fused_layers is not first
