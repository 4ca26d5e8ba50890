import json
import subprocess
import sys

import pytest
import spacy
import srsly
from support.pipelines import (
    GOLD,
    LABELS,
    LORA,
    ROOT,
    TEXTS,
    blank_pipeline,
    found,
    ner_of,
    same_annotation,
    teach,
    write_tiny_base,
)
from typer.testing import CliRunner

from spacy_padellm.cli import app
from spacy_padellm.cli.merge import merge

pytest_plugins = ["support.pipeline_fixtures"]


def run(*arguments):
    result = CliRunner().invoke(app, ["merge", *map(str, arguments)])
    return result.exit_code, " ".join(result.output.split())


def dtypes(folder):
    from safetensors import safe_open

    with safe_open(folder / "padellm_ner/model/model.safetensors", "pt") as file:
        return {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118


@pytest.fixture(scope="module")
def away(toy_tokenizer, tmp_path_factory):
    """A pipeline with a trained adapter, merged; its base is gone by now."""
    place = tmp_path_factory.mktemp("away")
    base = write_tiny_base(place / "base", toy_tokenizer)
    nlp = blank_pipeline(base, LORA)
    teach(nlp)
    nlp.to_disk(place / "trained")
    code, output = run(place / "trained", place / "whole")
    assert code == 0, output
    assert "merged: padellm_ner" in output
    docs = list(nlp.pipe(TEXTS))
    base.rename(place / "elsewhere")
    return place, docs


def test_whole_pipeline_finds_the_same_without_its_base(away):
    place, docs = away
    nlp = spacy.load(place / "whole")
    assert same_annotation(nlp.pipe(TEXTS), docs, 1e-4)
    assert [found(doc) for doc in docs] == [entities for _, entities in GOLD]
    with pytest.raises(ValueError, match="no base model"):
        spacy.load(place / "trained")("Bo likes Oslo.")


def test_written_pipeline_is_marked_as_whole(away):
    place, _ = away
    model = spacy.load(place / "whole").config["components"]["padellm_ner"]["model"]
    assert model["adapter"] is None
    assert model["save"] == "whole"
    base = srsly.read_json(place / "whole/padellm_ner/model/base.json")
    assert base["whole"]
    names = {path.name for path in (place / "whole/padellm_ner/model").iterdir()}
    assert not any(name.startswith("adapter") for name in names)
    assert dtypes(place / "whole") == {"F32"}


def test_the_trained_pipeline_stays_as_it_is(tiny_base, tmp_path):
    nlp = blank_pipeline(tiny_base, LORA)
    teach(nlp, steps=3)
    nlp.to_disk(tmp_path / "trained")
    before = {p: p.read_bytes() for p in (tmp_path / "trained").rglob("*") if p.is_file()}
    assert merge(tmp_path / "trained", tmp_path / "whole") == ["padellm_ner"]
    assert before == {p: p.read_bytes() for p in (tmp_path / "trained").rglob("*") if p.is_file()}


def test_whole_pipeline_may_be_saved_again_and_moved(away, tmp_path):
    place, docs = away
    nlp = spacy.load(place / "whole")
    nlp.to_disk(tmp_path / "again")
    assert same_annotation(spacy.load(tmp_path / "again").pipe(TEXTS), docs, 1e-4)


def test_dtype_of_the_option(taught_folder, tmp_path):
    code, output = run(taught_folder, tmp_path / "half", "--dtype", "bfloat16")
    assert code == 0, output
    assert dtypes(tmp_path / "half") == {"BF16"}
    assert spacy.load(tmp_path / "half")(TEXTS[2]).ents


@pytest.mark.parametrize("save", ["adapter", "whole"])
def test_setting_for_checkpoints_of_all_weights(tiny_base, tmp_path, save):
    """`save = "whole"`: each save writes what merge writes, and leaves the adapter in training."""
    model = {
        "@architectures": "spacy-padellm.CausalLM.v1",
        "name": str(tiny_base),
        "adapter": LORA,
        "device": "cpu",
        "save": save,
    }
    nlp = spacy.blank("en")
    nlp.add_pipe("padellm_ner", config={"labels": LABELS, "model": model})
    teach(nlp, steps=3)
    nlp.to_disk(tmp_path / "saved")
    whole = (tmp_path / "saved/padellm_ner/model/model.safetensors").exists()
    assert whole == (save == "whole")
    trained = ner_of(nlp).shim.load().network.named_parameters()
    assert all("lora_" in name for name, parameter in trained if parameter.requires_grad)
    docs = list(nlp.pipe(TEXTS))
    assert same_annotation(spacy.load(tmp_path / "saved").pipe(TEXTS), docs, 1e-4)


@pytest.mark.parametrize("save", ["all", None, True])
def test_unknown_setting_is_refused(save):
    from spacy_padellm.model.architecture import build_causal_lm

    with pytest.raises(ValueError, match="save must be one of adapter, whole"):
        build_causal_lm(save=save)


def test_pipeline_without_an_adapter_is_refused(tiny_base, away, tmp_path):
    nlp = blank_pipeline(tiny_base)
    nlp.add_pipe("sentencizer")
    nlp.to_disk(tmp_path / "bare")
    for pipeline in (tmp_path / "bare", away[0] / "whole"):
        code, output = run(pipeline, tmp_path / "whole")
        assert code == 1
        assert "There is no adapter to merge" in output
    assert not (tmp_path / "whole").exists()


def test_output_that_is_there_is_kept(taught_folder, tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole/mine.txt").write_text("")
    code, output = run(taught_folder, tmp_path / "whole")
    assert code == 1
    assert "there already" in output
    assert (tmp_path / "whole/mine.txt").exists()
    assert run(taught_folder, tmp_path / "whole", "--force")[0] == 0
    assert not (tmp_path / "whole/mine.txt").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["nowhere"], "nowhere"), (["TAUGHT", "--dtype", "int8"], "must be one of float32")],
)
def test_bad_arguments(taught_folder, tmp_path, arguments, message):
    pipeline, *options = [taught_folder if part == "TAUGHT" else part for part in arguments]
    code, output = run(pipeline, tmp_path / "whole", *options)
    assert code == 1
    assert message in output
    assert not (tmp_path / "whole").exists()


@pytest.mark.weights
@pytest.mark.slow
def test_shipped_pipeline(assembled, shipped, sample_texts, tmp_path):
    """Merged, the shipped pipeline finds the same in a process that has no base in its cache."""
    merge(assembled, tmp_path / "whole")
    texts = sample_texts[:8]
    code = (
        "import json, sys, spacy\n"
        "nlp = spacy.load(sys.argv[1])\n"
        "docs = nlp.pipe(json.loads(sys.argv[2]))\n"
        "spans = [[[(e.start_char, e.end_char, e.label_) for e in doc.ents],"
        " [float(s) for s in doc.spans['padellm_ner'].attrs['scores']]] for doc in docs]\n"
        "print(json.dumps(spans))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "whole"), json.dumps(texts)],
        env={
            "SPACY_PADELLM_CACHE": str(tmp_path / "empty"),
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    entities = 0
    for (ents, scores), doc in zip(json.loads(done.stdout), shipped.pipe(texts), strict=True):
        assert [tuple(ent) for ent in ents] == found(doc)
        assert scores == pytest.approx(list(doc.spans["padellm_ner"].attrs["scores"]), abs=1e-3)
        entities += len(ents)
    assert entities > 8
