import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.random_trees import grow, grown_trees
from transformers import AutoConfig

from spacy_padellm.engine.attention import (
    attention_implementation,
    attention_mask,
    supports_tree_mask,
)
from spacy_padellm.prompts.layout import lay_out
from spacy_padellm.prompts.tree import Paths, visible


def config_of(model_type, attention="sdpa", **options):
    config = AutoConfig.for_model(model_type, **options)
    config._attn_implementation = attention
    return config


def tensors(tree):
    paths = lay_out([tree], [0]).paths
    return Paths(*map(torch.from_numpy, paths))


@pytest.mark.parametrize("name", ["gemma2", "gptj", "codegen"])
def test_models_that_are_exact_only_in_eager_attention(name):
    assert attention_implementation(AutoConfig.for_model(name)) == "eager"


@pytest.mark.parametrize("name", ["llama", "gpt2", "bloom", "mamba"])
def test_transformers_chooses_for_others(name):
    """bloom and mamba know no sdpa: asking for it would keep them from loading."""
    assert attention_implementation(AutoConfig.for_model(name)) is None


@pytest.mark.parametrize("name", ["bloom", "mpt", "gpt_neo", "mamba", "recurrent_gemma"])
def test_models_that_need_one_row_a_prompt_by_name(name):
    assert not supports_tree_mask(AutoConfig.for_model(name))


def test_models_that_need_one_row_a_prompt_by_setting():
    assert supports_tree_mask(config_of("falcon", alibi=False))
    assert not supports_tree_mask(config_of("falcon", alibi=True))
    assert supports_tree_mask(config_of("llama"))
    assert not supports_tree_mask(config_of("llama", attention_chunk_size=64))


@given(grown_trees())
def test_sdpa_takes_booleans_and_eager_numbers(grown):
    """Eager attention adds the mask: True would be 1, silently wrong; -inf would give NaN."""
    paths = tensors(grown.tree)
    expected = visible(paths, paths)[:, None]

    mask = attention_mask(config_of("llama"), paths, paths, torch.float32)
    assert mask.dtype == torch.bool
    assert torch.equal(mask, expected)

    for dtype in (torch.float32, torch.bfloat16):
        added = attention_mask(config_of("gptj", "eager"), paths, paths, dtype)
        assert added.dtype == dtype
        assert torch.equal(added == 0, expected)
        assert (added[~expected] == torch.finfo(dtype).min).all()


@given(grown_trees(causal=True), st.integers(1, 12))
def test_windows_are_distances_on_the_path(grown, window):
    paths = tensors(grown.tree)
    config = config_of("mistral", sliding_window=window)

    mask = attention_mask(config, paths, paths, torch.float32)

    for token in range(len(grown.tree)):
        seen = np.flatnonzero(mask[0, 0, token].numpy()).tolist()
        assert seen == grown.ancestry(token)[-window:]


def test_layers_of_two_types_get_a_mask_each():
    grown = _long_tree()
    paths = tensors(grown)
    types = ["sliding_attention", "full_attention"]
    config = config_of(
        "gemma3_text", num_hidden_layers=2, sliding_window=3, layer_types=types, use_cache=False
    )
    masks = attention_mask(config, paths, paths, torch.float32)

    assert set(masks) == set(types)
    assert torch.equal(masks["full_attention"], visible(paths, paths)[:, None])
    assert masks["full_attention"].sum() > masks["sliding_attention"].sum()
    assert int(masks["sliding_attention"].sum(-1).max()) == 3


@pytest.mark.parametrize(
    "options",
    [
        {"sliding_window": None},
        {"sliding_window": 3, "use_sliding_window": False},
        {"sliding_window": 3, "use_sliding_window": True, "layer_types": ["full_attention"] * 2},
    ],
)
def test_windows_that_are_not_in_use(options):
    paths = tensors(_long_tree())
    config = config_of("qwen2", num_hidden_layers=2, **options)
    mask = attention_mask(config, paths, paths, torch.float32)
    assert torch.equal(mask, visible(paths, paths)[:, None])


def test_queries_may_be_fewer_than_keys():
    paths = tensors(_long_tree())
    last = Paths(*(part[:, -1:] for part in paths))
    mask = attention_mask(config_of("mistral", sliding_window=3), last, paths, torch.float32)
    assert mask.shape == (1, 1, 1, paths.tree.shape[1])
    whole = attention_mask(config_of("mistral", sliding_window=3), paths, paths, torch.float32)
    assert torch.equal(mask, whole[:, :, -1:])


def _long_tree():
    return grow([(3, [2, 4]), (2, [])], 6, [1, 2, 3]).tree
