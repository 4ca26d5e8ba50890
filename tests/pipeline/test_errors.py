"""Each mistake of a user gets one clear error that names the value and the remedy."""

import pytest
import spacy
from support.pipelines import blank_pipeline, gold_examples, write_tiny_base

pytest_plugins = ["support.pipeline_fixtures"]

ARCHITECTURE = "spacy-padellm.CausalLM.v1"


def add_ner(base, **config):
    nlp = spacy.blank("en")
    model = {"@architectures": ARCHITECTURE, "name": str(base), **config.pop("model", {})}
    nlp.add_pipe("padellm_ner", config={"labels": ["person"], "model": model, **config})
    return nlp


# --- at add_pipe ---

DECODER = {"@misc": "spacy-padellm.tree_decoder.v1"}
PROMPT = {"@misc": "spacy-padellm.prompt.v1"}


@pytest.mark.parametrize(
    ("config", "value", "remedy"),
    [
        ({"threshold": 1.5}, "1.5", "from 0 to 1"),
        ({"threshold": -0.1}, "-0.1", "from 0 to 1"),
        ({"alignment_mode": "widen"}, "'widen'", "expand, drop"),
        ({"model": {"dtype": "float8"}}, "'float8'", "float32, bfloat16, float16"),
        ({"model": {"adapter": {"rank": 4}}}, "'rank': 4", "r, lora_alpha"),
        ({"model": {"name": " "}}, "' '", "smollm2-135m"),
        ({"decoder": {**DECODER, "max_count": 0}}, "0", "max_count must be an integer from 1"),
        ({"decoder": {**DECODER, "max_mention_tokens": -1}}, "-1", "max_mention_tokens must be"),
        ({"decoder": {**DECODER, "batch_tokens": 0}}, "0", "batch_tokens must be"),
        ({"prompt": {**PROMPT, "lang": "fr"}}, "'fr'", "'en', 'zh'"),
        ({"prompt": {**PROMPT, "label_definitions": {"person": " "}}}, "'person'", "not blank"),
        ({"labels": ["a", "a"]}, "['a']", "given once"),
        ({"labels": ["a", " "]}, "' '", '["person", "organisation"]'),
    ],
)
def test_bad_setting(tiny_base, config, value, remedy):
    with pytest.raises(ValueError, match="must|given|peft|written") as error:
        add_ner(tiny_base, **config)
    assert value in str(error.value)
    assert remedy in str(error.value)


@pytest.mark.parametrize("adapter", [4, ["folder"], True])
def test_adapter_of_the_wrong_type(tiny_base, adapter):
    """spaCy's own check of types may come first; the value is named either way."""
    with pytest.raises(ValueError, match="adapter") as error:
        add_ner(tiny_base, model={"adapter": adapter})
    assert str(adapter) in str(error.value) or repr(adapter) in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not valid JSON"),
        ('["person"]', "must hold one JSON object"),
        ('{"person": 3}', "not blank, not 3"),
    ],
)
def test_bad_file_of_label_definitions(tiny_base, tmp_path, content, message):
    path = tmp_path / "definitions.json"
    path.write_text(content, encoding="utf8")
    with pytest.raises(ValueError, match=message) as error:
        add_ner(tiny_base, prompt={**PROMPT, "label_definitions": str(path)})
    assert str(path) in str(error.value) or "'person'" in str(error.value)


def test_file_of_label_definitions_that_is_not_there(tiny_base, tmp_path):
    path = tmp_path / "none.json"
    nlp = add_ner(tiny_base, prompt={**PROMPT, "label_definitions": str(path)})
    with pytest.raises(ValueError, match=r'not there.*\{"PER": "person"\}') as error:
        nlp("Bo")
    assert str(path) in str(error.value)


# --- when the weights are needed ---


@pytest.mark.parametrize("need", [lambda nlp: nlp("Bo"), lambda nlp: nlp.initialize()])
def test_unknown_base(need):
    with pytest.raises(ValueError, match=r"no base model 'smollm2-136m'.*'smollm2-135m'"):
        need(add_ner("smollm2-136m"))


@pytest.mark.parametrize("need", [lambda nlp: nlp("Bo"), lambda nlp: nlp.initialize()])
def test_missing_adapter(tiny_base, tmp_path, need):
    nlp = add_ner(tiny_base, model={"adapter": str(tmp_path / "none")})
    with pytest.raises(FileNotFoundError, match="There is no adapter at") as error:
        need(nlp)
    assert str(tmp_path / "none") in str(error.value)
    assert '{"r": 16}' in str(error.value)


def test_shipped_adapter_on_another_base(tiny_base):
    from support.pipelines import ROOT

    nlp = add_ner(tiny_base, model={"adapter": str(ROOT / "assets/adapter")})
    with pytest.raises(ValueError, match="was trained on base 'smollm2-135m'") as error:
        nlp("Bo")
    assert str(tiny_base) in str(error.value)
    assert "`name` in the component's [model] block" in str(error.value)


def test_adapter_whose_shapes_do_not_fit(taught_folder, toy_tokenizer, tmp_path):
    import shutil

    other = write_tiny_base(tmp_path / "other", toy_tokenizer, intermediate_size=96)
    adapter = shutil.copytree(taught_folder / "padellm_ner" / "model", tmp_path / "adapter")
    (adapter / "base.json").unlink()  # so nothing but the shapes can tell
    nlp = add_ner(other, model={"adapter": str(adapter)})
    with pytest.raises(ValueError, match="does not fit the base 'llama'") as error:
        nlp("Bo")
    assert str(adapter) in str(error.value)


def test_device_that_is_not_there(tiny_base):
    with pytest.raises(ValueError, match="'warp'"):
        add_ner(tiny_base, model={"device": "warp"})("Bo")


def test_examples_of_the_wrong_kind(tiny_base):
    nlp = blank_pipeline(tiny_base)
    with pytest.raises(TypeError, match="E978"):
        nlp.get_pipe("padellm_ner").update([nlp.make_doc("Bo")])
    with pytest.raises(TypeError, match="E930|E978"):
        nlp.get_pipe("padellm_ner").initialize(gold_examples(nlp))
