"""The thinc shim: lazy loading, training steps, and each way of keeping its state."""

import copy
import pickle
import threading

import pytest
import spacy
import srsly
import torch
from support.pipelines import GOLD, LORA, write_tiny_base
from thinc.api import SGD, Adam

from spacy_padellm.model.adapter import new_adapter, save_adapter
from spacy_padellm.model.architecture import build_causal_lm
from spacy_padellm.model.network import load_network
from spacy_padellm.model.settings import ModelSettings
from spacy_padellm.model.shim import CausalLMShim
from spacy_padellm.prompts.prompt import make_prompt
from spacy_padellm.prompts.tree_builder import TreeBuilder
from spacy_padellm.weights.resolver import resolve_weights

pytest_plugins = ["support.pipeline_fixtures"]


def shim_of(base, adapter=None, **settings):
    return CausalLMShim(ModelSettings(str(base), adapter, "cpu", **settings))


@pytest.fixture
def trees(tiny_base):
    model = shim_of(tiny_base).load()
    builder = TreeBuilder(model.codec, make_prompt())
    answers = [
        {
            label: [text[start:end] for start, end, name in entities if name == label]
            for label in ("person", "place")
        }
        for text, entities in GOLD
    ]
    return builder.gold_trees([text for text, _ in GOLD], answers)


@pytest.fixture
def adapter_folder(tiny_base, tmp_path):
    """A saved adapter of random weights, with the base it was trained on."""
    weights = resolve_weights(tiny_base)
    network = new_adapter(load_network(weights.folder, torch.device("cpu"), torch.float32), LORA)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if "lora_" in name:
                value.copy_(torch.randn(value.shape, generator=generator) * 0.2)
    save_adapter(network, tmp_path / "adapter")
    base = {"name": weights.name, "sha256": weights.sha256}
    srsly.write_json(tmp_path / "adapter" / "base.json", base)
    return tmp_path / "adapter"


def nll(shim, trees):
    values, _ = shim(trees, is_train=False)
    return values


def update(shim, trees):
    values, backprop = shim(trees, is_train=True)
    backprop(torch.full_like(values, 1 / len(values)))
    return float(values.mean())


# --- loading ---


def test_nothing_is_loaded_before_it_is_needed(tmp_path):
    shim = shim_of(tmp_path / "none", str(tmp_path / "no adapter"))
    shim.copy()
    pickle.loads(pickle.dumps(shim))
    copy.deepcopy(build_causal_lm(str(tmp_path / "none")))


def test_threads_share_one_model(tiny_base):
    shim, models = shim_of(tiny_base), []
    threads = [threading.Thread(target=lambda: models.append(shim.load())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(models) == 4
    assert len({id(model) for model in models}) == 1


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(None, torch.float32), ("bfloat16", torch.bfloat16), ("float32", torch.float32)],
)
def test_dtype(tiny_base, dtype, expected):
    assert shim_of(tiny_base, dtype=dtype).load().base.dtype == expected


def test_adapter_of_the_settings(tiny_base, adapter_folder, trees):
    bare = nll(shim_of(tiny_base), trees)
    with_adapter = nll(shim_of(tiny_base, str(adapter_folder)), trees)
    assert not torch.allclose(bare, with_adapter)


def test_adapter_of_another_base(tiny_base, adapter_folder, toy_tokenizer, tmp_path):
    other = write_tiny_base(tmp_path / "other", toy_tokenizer, seed=2)
    with pytest.raises(ValueError, match="was trained on base") as error:
        shim_of(other, str(adapter_folder)).load()
    for part in (str(adapter_folder), str(other), resolve_weights(tiny_base).sha256):
        assert part in str(error.value)


def test_failed_load_is_tried_again(tiny_base, adapter_folder, tmp_path):
    shim = shim_of(tiny_base, str(tmp_path / "later"))
    with pytest.raises(FileNotFoundError, match="There is no adapter at"):
        shim.load()
    adapter_folder.rename(tmp_path / "later")
    assert shim.load() is shim.load()


# --- training ---


def test_evaluation_keeps_no_graph(tiny_base, trees):
    shim = shim_of(tiny_base, LORA)
    values = nll(shim, trees)
    assert values.dtype == torch.float32
    assert values.shape == (sum(tree.n_targets for tree in trees),)
    assert not values.requires_grad
    assert not shim.load().network.training


def test_training_steps_lower_the_loss(tiny_base, trees):
    torch.manual_seed(0)
    shim, optimizer = shim_of(tiny_base, LORA), Adam(0.01, grad_clip=0.0)
    losses = []
    for _ in range(10):
        losses.append(update(shim, trees))
        shim.finish_update(optimizer)
        assert all(p.grad is None for p in shim.load().network.parameters())
    assert losses[-1] < losses[0] / 2


def test_rate_of_the_thinc_optimizer_is_followed(tiny_base, trees):
    shim = shim_of(tiny_base, LORA)
    optimizer = SGD(0.0, L2=0.0, grad_clip=0.0)

    def b_weights():
        named = shim.load().network.named_parameters()
        return torch.cat([p.detach().flatten() for name, p in named if "lora_B" in name])

    update(shim, trees)
    shim.finish_update(optimizer)
    assert not b_weights().any()
    optimizer.learn_rate = 0.5
    update(shim, trees)
    shim.finish_update(optimizer)
    assert b_weights().any()


def test_another_optimizer_starts_anew(tiny_base, trees):
    shim = shim_of(tiny_base, LORA)
    for optimizer in (Adam(0.01), SGD(0.01)):
        update(shim, trees)
        shim.finish_update(optimizer)
        kind = type(shim._optimizer[1]).__name__
        assert kind.startswith(type(optimizer).__name__) or kind in ("AdamW", "SGD")
    assert isinstance(shim._optimizer[1], torch.optim.SGD)


def test_dropout_of_the_adapter_is_off_in_evaluation(tiny_base, adapter_folder, trees):
    config = srsly.read_json(adapter_folder / "adapter_config.json")
    srsly.write_json(adapter_folder / "adapter_config.json", {**config, "lora_dropout": 0.5})
    shim = shim_of(tiny_base, str(adapter_folder))
    assert update(shim, trees) != update(shim, trees)
    torch.testing.assert_close(nll(shim, trees), nll(shim, trees))


# --- states ---


def states(shim, tmp_path):
    """The shim's state by each way of keeping it."""
    settings = shim.settings
    shim.to_disk(tmp_path / "state")
    yield CausalLMShim(settings).from_disk(tmp_path / "state")
    yield CausalLMShim(settings).from_bytes(shim.to_bytes())
    yield shim.copy()
    yield copy.deepcopy(shim)
    yield pickle.loads(pickle.dumps(shim))


@pytest.mark.parametrize("used", [False, True], ids=["unused", "used"])
def test_state_with_an_adapter(tiny_base, adapter_folder, trees, tmp_path, used):
    expected = nll(shim_of(tiny_base, str(adapter_folder)), trees)
    shim = shim_of(tiny_base, str(adapter_folder))
    if used:
        shim.load()
    for other in states(shim, tmp_path):
        torch.testing.assert_close(nll(other, trees), expected)


@pytest.mark.parametrize("used", [False, True], ids=["unused", "used"])
def test_state_of_a_bare_base(tiny_base, trees, tmp_path, used):
    expected = nll(shim_of(tiny_base), trees)
    shim = shim_of(tiny_base)
    if used:
        shim.load()
    for other in states(shim, tmp_path):
        torch.testing.assert_close(nll(other, trees), expected)


def test_state_of_a_trained_adapter(tiny_base, trees, tmp_path):
    shim = shim_of(tiny_base, LORA)
    update(shim, trees)
    shim.finish_update(Adam(0.01))
    expected = nll(shim, trees)
    for other in states(shim, tmp_path):
        torch.testing.assert_close(nll(other, trees), expected)


def test_new_adapter_that_was_never_loaded_stays_one(tiny_base, tmp_path):
    for other in states(shim_of(tiny_base, LORA), tmp_path):
        trained = [name for name, p in other.load().network.named_parameters() if p.requires_grad]
        assert trained
        assert all("lora_" in name for name in trained)


def test_saved_state_outlives_the_adapter_it_came_from(tiny_base, adapter_folder, trees, tmp_path):
    shim = shim_of(tiny_base, str(adapter_folder))
    expected = nll(shim, trees)
    shim.to_disk(tmp_path / "state")
    settings = ModelSettings(str(tiny_base), str(tmp_path / "gone"), "cpu")
    torch.testing.assert_close(
        nll(CausalLMShim(settings).from_disk(tmp_path / "state"), trees), expected
    )


def test_all_weights_are_saved_whole(tiny_base, trees, tmp_path):
    shim = shim_of(tiny_base)
    update(shim, trees)
    shim.finish_update(Adam(0.01))
    expected = nll(shim, trees)
    for keep in (shim.to_bytes, shim.copy, lambda: pickle.dumps(shim)):
        with pytest.raises(ValueError, match="Save the pipeline with to_disk"):
            keep()
    shim.to_disk(tmp_path / "state")
    other = CausalLMShim(shim.settings).from_disk(tmp_path / "state")
    torch.testing.assert_close(nll(other, trees), expected)
    other.to_disk(tmp_path / "copy")
    third = CausalLMShim(shim.settings).from_disk(tmp_path / "copy")
    torch.testing.assert_close(nll(third, trees), expected)


def test_all_weights_that_are_gone(tiny_base, trees, tmp_path):
    shim = shim_of(tiny_base)
    update(shim, trees)
    shim.to_disk(tmp_path / "state")
    other = CausalLMShim(shim.settings).from_disk(tmp_path / "state")
    (tmp_path / "state").rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match="are gone: keep the pipeline's folder"):
        other.load()


def test_state_that_replaces_all_weights_leaves_none_of_them(
    tiny_base, adapter_folder, trees, tmp_path
):
    whole = shim_of(tiny_base)
    update(whole, trees)
    whole.to_disk(tmp_path / "state")
    shim = shim_of(tiny_base, str(adapter_folder))
    expected = nll(shim, trees)
    shim.to_disk(tmp_path / "state")
    assert not list((tmp_path / "state").glob("model*.safetensors"))
    other = CausalLMShim(shim.settings).from_disk(tmp_path / "state")
    torch.testing.assert_close(nll(other, trees), expected)


def test_folder_that_is_no_state(tiny_base, tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no adapter at"):
        shim_of(tiny_base).from_disk(tmp_path)


def test_saved_by_peft_itself(tiny_base, adapter_folder, trees):
    """A folder without base.json, as peft's save_pretrained writes it."""
    expected = nll(shim_of(tiny_base, str(adapter_folder)), trees)
    (adapter_folder / "base.json").unlink()
    torch.testing.assert_close(nll(shim_of(tiny_base, str(adapter_folder)), trees), expected)


def test_pipelines_share_nothing(tiny_base):
    """Two components of one config train apart."""
    first, second = (shim_of(tiny_base, LORA).load().network for _ in range(2))
    assert not {p.data_ptr() for p in first.parameters()} & {
        p.data_ptr() for p in second.parameters()
    }
    assert spacy.blank("en").vocab is not spacy.blank("en").vocab
