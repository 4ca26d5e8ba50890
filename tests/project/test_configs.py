"""The recipes in configs/: whole, valid, and what they set for training."""

import pytest
from spacy import util
from spacy.cli._util import app as spacy_app
from spacy.util import load_config
from support.pipelines import ROOT
from typer.testing import CliRunner

CONFIGS = sorted((ROOT / "configs").glob("*.cfg"))
RECIPES = [
    path
    for path in CONFIGS
    if path.stem in ("en_adapter", "en_full", "en_lora", "zh_full", "zh_lora")
]
DECODERS = (
    "tree_decoder",
    "replicated_decoder",
    "autoregressive_struct_decoder",
    "autoregressive_aug_decoder",
)
LANGUAGES = {path.stem: path.stem[:2] for path in RECIPES}


def named(paths):
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.stem)


def test_recipes_are_there():
    assert len(RECIPES) == 5


def spacy_command(*arguments):
    result = CliRunner().invoke(spacy_app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


@named(RECIPES)
def test_nothing_is_left_to_fill(path, tmp_path):
    """`spacy init fill-config` has nothing to add, to drop or to change."""
    printed = spacy_command("init", "fill-config", path, tmp_path / "filled.cfg", "--diff")
    assert "Nothing to auto-fill" in printed
    assert "No diff to show" in printed
    as_text = util.load_config(path).to_str()
    assert spacy_command("init", "fill-config", path, "-").strip() == as_text.strip()


@named(RECIPES)
def test_debug_config(path):
    """`spacy debug config` finds every section valid, every function registered."""
    printed = spacy_command("debug", "config", path)
    assert "Config validation for [training]" in printed  # after [initialize]
    assert "Config is valid" in printed


@named(CONFIGS)
def test_pipeline_is_made(path):
    """Also those that `spacy assemble` reads; weights load later."""
    nlp = util.load_model_from_config(load_config(path), auto_fill=True)
    assert nlp.pipe_names == ["padellm_ner"]


@named(RECIPES)
@pytest.mark.parametrize("name", DECODERS)
def test_decoder_is_one_setting(path, name):
    """Every recipe trains each way of finding entities, its decoder's name changed."""
    config = load_config(path)
    config["components"]["padellm_ner"]["decoder"]["@misc"] = f"spacy-padellm.{name}.v1"
    nlp = util.load_model_from_config(config)
    decoder = nlp.get_pipe("padellm_ner").decoder
    assert type(decoder).__name__.lower() == name.replace("_", "")
    assert decoder.max_count == config["components"]["padellm_ner"]["decoder"]["max_count"]
    assert decoder.joint_starts
    assert decoder.constrained


@named(RECIPES)
def test_recipe(path):
    config = load_config(path).interpolate()
    lang = LANGUAGES[path.stem]
    component = config["components"]["padellm_ner"]
    training = config["training"]
    assert config["nlp"]["lang"] == component["prompt"]["lang"] == lang
    assert component["labels"] == []  # from the corpus, or from what init labels wrote
    assert training["before_to_disk"]["@callbacks"] == "spacy-padellm.whole_checkpoints.v1"
    assert training["optimizer"]["use_averages"] is False
    assert training["optimizer"]["learn_rate"]["total_steps"] == training["max_steps"]
    assert training["gpu_allocator"] == "pytorch"
    assert training["logger"]["@loggers"] == "spacy.ConsoleLogger.v1"
    weights = {name: w for name, w in training["score_weights"].items() if w}
    assert weights == {"padellm_f": 1.0}
    assert "ents_f" in training["score_weights"]
    adapter = component["model"]["adapter"]
    kind = path.stem[3:]
    assert (adapter is None) == (kind == "full")
    assert isinstance(adapter, dict) == (kind == "lora")
    assert isinstance(adapter, str) == (kind == "adapter")
    if lang == "zh":
        assert config["nlp"]["tokenizer"]["segmenter"] == "char"
