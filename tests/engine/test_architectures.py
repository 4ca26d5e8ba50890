"""Trees against separate prompts on tiny random networks of many kinds."""

import warnings

import numpy as np
import pytest
import torch
from support.plain_decoding import PLAIN, decode_plainly
from support.random_trees import branch_end, grow

from spacy_padellm.decoding.replicated import ReplicatedDecoder
from spacy_padellm.decoding.tree_decoder import TreeDecoder
from spacy_padellm.engine import language_model as language_model_module
from spacy_padellm.engine.runner import Runner
from spacy_padellm.engine.step import StepInput
from spacy_padellm.model.network import load_codec, load_network, probed_model
from spacy_padellm.prompts.tree import NO_TARGET, Paths

TREES = [
    *("llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3_text", "phi3", "gpt2", "gpt_neox"),
    *("opt", "stablelm", "olmo2", "falcon", "gptj", "granite", "cohere"),
]
ONE_ROW_A_PROMPT = ["bloom", "falcon_alibi", "mpt", "gpt_neo", "mamba"]
WINDOWED = ["mistral", "gemma2", "gemma3_text", "phi3"]
TOLERANCE = 1e-4  # relative, float32


@pytest.fixture(scope="module")
def trees():
    """Ragged trees with paths longer than every window; together longer than any path may be."""
    generator = np.random.default_rng(3)
    shapes = [
        (24, [(3, [2, 5, 1]), (1, []), (4, [7])]),
        (2, [(2, [3])]),
        (13, [(1, [1, 1]), (5, [])]),
        (17, [(2, [4, 4, 4, 4]), (3, [2])]),
    ]
    ids = generator.integers(4, 250, 300).tolist()
    return [grow(shape, trunk, ids[20 * i :]).tree for i, (trunk, shape) in enumerate(shapes)]


@pytest.fixture(scope="module", params=TREES)
def model(request, tiny_model):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = tiny_model(request.param, max_position_embeddings=48)
    assert found.supports_tree_mask
    return found


@pytest.fixture(scope="module")
def alone(model, trees):
    """Logits after each branch's end, by transformers: one prompt, no padding, no cache."""
    return separate_logits(model.network, trees)


@torch.inference_mode()
def separate_logits(network, trees):
    return torch.stack(
        [
            network(input_ids=torch.from_numpy(prompt.ids)[None], use_cache=False).logits[0, -1]
            for tree in trees
            for prompt in tree.prompts()
        ]
    )


def distance(found, expected):
    """RETURNS (float): The largest relative difference of any row."""
    return float(((found - expected).norm(dim=-1) / expected.norm(dim=-1)).max())


@pytest.mark.parametrize("row_tokens", [1, 70, 512])
def test_trees_give_what_separate_prompts_give(model, trees, alone, row_tokens, monkeypatch):
    """A row a tree, two trees a row, all in one row longer than the network's positions."""
    monkeypatch.setattr(language_model_module, "ROW_TOKENS", row_tokens)
    with torch.inference_mode():
        found = model.tree_logits(trees)
    assert sum(map(len, trees)) > model.max_positions
    assert distance(found, alone) < TOLERANCE


@pytest.mark.parametrize("rows", [(0, 0, 0, 0), (0, 1, 1, 0), (0, 1, 2, 3)])
def test_trees_through_the_cache_in_several_passes(model, trees, alone, rows):
    """Trunks, counts, then mentions token by token, rows ragged at each pass; the cache grows."""
    cached = Runner(model).start_rows(max(rows) + 1, capacity=4)
    logits = {}
    for places in passes(trees):
        runs, indices, names, start = [], [], [], 0
        for number, tokens in places.items():
            tree = trees[number]
            part = Paths(*(column[tokens] for column in tree.paths(number)))
            runs.append((rows[number], tree.ids[tokens], part))
            for i, token in enumerate(tokens):
                if tree.target[token] != NO_TARGET:
                    indices.append(start + i)
                    names.append((number, token))
            start += len(tokens)
        logits.update(
            zip(names, cached.forward(StepInput.of_runs(runs, indices)).logits, strict=True)
        )
    found = torch.stack([logits[name] for name in sorted(logits)])
    assert len(found) == len(alone)
    assert distance(found, alone) < TOLERANCE


def passes(trees):
    """RETURNS (list[dict[int, list[int]]]): For each pass, tokens of each tree that has some."""
    steps = {}
    for number, tree in enumerate(trees):
        for token in range(len(tree)):
            step = min(int(tree.label[token]), 1)
            if tree.mention[token]:
                start = int(tree.position[branch_end(tree, int(tree.label[token]))])
                step = 1 + int(tree.position[token]) - start
            steps.setdefault(step, {}).setdefault(number, []).append(token)
    return [steps[step] for step in sorted(steps)]


def test_losses_and_gradients_are_those_of_separate_prompts(model, trees):
    together, gradients = losses(model, trees)
    model.supports_tree_mask = False
    try:
        apart, expected = losses(model, trees)
    finally:
        model.supports_tree_mask = True
    assert torch.allclose(together, apart, rtol=TOLERANCE, atol=1e-5)
    assert gradients.keys() == expected.keys()
    scale = max(gradient.norm() for gradient in expected.values())
    for name, gradient in expected.items():
        assert (gradients[name] - gradient).norm() <= TOLERANCE * max(gradient.norm(), scale / 100)


def losses(model, trees):
    """RETURNS (tuple): Losses, and the gradient of their weighted sum for each parameter."""
    model.network.zero_grad()
    nll = model.nll(trees)
    (nll * torch.linspace(0.5, 1.5, len(nll))).sum().backward()
    found = {
        name: parameter.grad.clone()
        for name, parameter in model.network.named_parameters()
        if parameter.grad is not None
    }
    model.network.zero_grad()
    return nll.detach(), found


@pytest.mark.parametrize("name", WINDOWED)
def test_windows_are_felt(name, tiny_model, trees):
    """Without this the tests above would pass on a window that nothing reaches."""
    wide = tiny_model(name, sliding_window=4096)
    narrow = tiny_model(name)
    with torch.inference_mode():
        assert distance(narrow.tree_logits(trees), wide.tree_logits(trees)) > 100 * TOLERANCE


@pytest.mark.parametrize("name", ONE_ROW_A_PROMPT)
def test_others_fall_back_with_one_warning(name, tiny_model, trees):
    with pytest.warns(UserWarning, match="does not support the tree mask") as caught:
        model = tiny_model(name)
    assert len([one for one in caught if one.category is UserWarning]) == 1
    assert not model.supports_tree_mask
    with torch.inference_mode():
        nll = model.nll(trees)
    targets = torch.tensor([t for tree in trees for t in tree.target.tolist() if t != NO_TARGET])
    logprobs = separate_logits(model.network, trees).log_softmax(-1)
    expected = -logprobs[torch.arange(len(targets)), targets]
    assert torch.allclose(nll, expected, rtol=TOLERANCE, atol=1e-5)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", *ONE_ROW_A_PROMPT])
@pytest.mark.filterwarnings("ignore:.*does not support the tree mask:UserWarning")
def test_decoders_say_what_prompts_alone_say(name, tiny_model, toy_builder):
    """Texts of unlike length in one batch, so that padding and the end of one would tell."""
    model = tiny_model(name)
    texts = ["the a", "A much longer text about nothing in particular", "北京"]
    labels = ["place", "x"]
    bounds = {"max_count": 12, "max_mention_tokens": 2}

    tree = TreeDecoder(**bounds, **PLAIN)(Runner(model), toy_builder, texts, labels)
    replicated = ReplicatedDecoder(**bounds, **PLAIN)(Runner(model), toy_builder, texts, labels)

    assert max(len(prediction.mentions) for prediction in tree) >= 12
    tokenizer = model.codec.tokenizer
    for text, *predictions in zip(texts, tree, replicated, strict=True):
        for place, label in enumerate(labels):
            expected = decode_plainly(model.network, tokenizer, text, label, **bounds)
            for prediction in predictions:
                count = prediction.counts[place]
                said = [one for one in prediction.mentions if one.label == label]
                assert (count.label, count.number) == (label, expected.number)
                assert count.logprob == pytest.approx(expected.logprob, abs=1e-4)
                assert [one.text for one in said] == [text for text, _ in expected.mentions]
                for one, (_, logprobs) in zip(said, expected.mentions, strict=True):
                    assert one.logprobs == pytest.approx(logprobs, abs=1e-4)


@pytest.mark.parametrize("name", ["bloom", "mamba", "gemma2", "gpt2"])
@pytest.mark.filterwarnings("ignore:.*does not support the tree mask:UserWarning")
def test_every_kind_loads_from_a_folder(name, tiny_network, toy_tokenizer, trees, tmp_path):
    """With the attention that each needs, sdpa or not."""
    network = tiny_network(name)
    network.save_pretrained(tmp_path)
    toy_tokenizer.save_pretrained(tmp_path)

    loaded = probed_model(load_network(tmp_path, "cpu", torch.float32), load_codec(tmp_path))

    with torch.inference_mode():
        nll = loaded.nll(trees)
    expected = separate_logits(network, trees)
    targets = torch.tensor([t for tree in trees for t in tree.target.tolist() if t != NO_TARGET])
    expected = -expected.log_softmax(-1)[torch.arange(len(targets)), targets]
    assert torch.allclose(nll, expected, rtol=TOLERANCE, atol=1e-4)
