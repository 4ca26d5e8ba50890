import copy
import json
import os
import pickle
import shutil
import subprocess
import sys

import pytest
import spacy
import srsly
from support.pipelines import (
    ENTITIES,
    LORA,
    ROOT,
    TEXTS,
    blank_pipeline,
    found,
    ner_of,
    same_annotation,
    scored,
    teach,
    write_tiny_base,
)

pytest_plugins = ["support.pipeline_fixtures"]


@pytest.fixture
def docs(taught):
    """What the taught pipeline finds."""
    return list(taught.pipe(TEXTS))


def test_bytes(taught, tiny_base, docs):
    data = taught.to_bytes()
    untouched = blank_pipeline(tiny_base, LORA, labels=[]).from_bytes(data)
    assert ner_of(untouched).labels == ner_of(taught).labels
    assert same_annotation(untouched.pipe(TEXTS), docs, 1e-6)
    initialised = blank_pipeline(tiny_base, LORA)
    teach(initialised, steps=1)
    assert same_annotation(initialised.from_bytes(data).pipe(TEXTS), docs, 1e-6)
    assert initialised.to_bytes() == data


def test_disk(taught, tiny_base, docs, tmp_path):
    taught.to_disk(tmp_path / "a")
    initialised = blank_pipeline(tiny_base, LORA)
    teach(initialised, steps=1)
    assert same_annotation(initialised.from_disk(tmp_path / "a").pipe(TEXTS), docs, 1e-6)
    spacy.load(tmp_path / "a").to_disk(tmp_path / "b")  # never used, so nothing was loaded
    assert same_annotation(spacy.load(tmp_path / "b").pipe(TEXTS), docs, 1e-6)
    for path in (tmp_path / "a").rglob("*"):
        if path.is_file():
            assert (
                path.read_bytes()
                == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()
            )


def test_component_alone(taught, tiny_base, docs, tmp_path):
    ner_of(taught).to_disk(tmp_path / "ner")
    other = blank_pipeline(tiny_base, LORA)
    ner_of(other).from_disk(tmp_path / "ner")
    assert same_annotation(other.pipe(TEXTS), docs, 1e-6)
    third = blank_pipeline(tiny_base, LORA)
    ner_of(third).from_bytes(ner_of(taught).to_bytes())
    assert same_annotation(third.pipe(TEXTS), docs, 1e-6)


def test_excluded_fields_are_left_out(taught, tmp_path):
    ner_of(taught).to_disk(tmp_path / "ner", exclude=["vocab", "model"])
    assert [path.name for path in (tmp_path / "ner").iterdir()] == ["cfg"]


def test_what_is_saved_is_the_adapter_and_the_name_of_its_base(taught_folder):
    folder = taught_folder / "padellm_ner" / "model"
    assert sorted(path.name for path in folder.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "base.json",
    ]
    base = srsly.read_json(folder / "base.json")
    assert set(base) == {"name", "sha256", "adapter_sha256"}
    assert len(base["sha256"]) == len(base["adapter_sha256"]) == 64


def test_settings_are_saved(tiny_base, tmp_path):
    nlp = blank_pipeline(tiny_base, threshold=0.5, spans_key="llm", alignment_mode="drop")
    ner_of(nlp).add_label("time")
    nlp.to_disk(tmp_path / "saved")
    cfg = ner_of(spacy.load(tmp_path / "saved")).cfg
    assert cfg == ner_of(nlp).cfg
    assert (cfg["threshold"], cfg["spans_key"], cfg["labels"][-1]) == (0.5, "llm", "time")


@pytest.mark.parametrize("copying", [copy.deepcopy, lambda ner: pickle.loads(pickle.dumps(ner))])
@pytest.mark.parametrize("used", [False, True], ids=["unused", "used"])
def test_component_can_be_copied(taught_folder, docs, copying, used):
    nlp = spacy.load(taught_folder)
    if used:
        nlp(TEXTS[0])
    ner = copying(ner_of(nlp))
    made = [ner(nlp.make_doc(text)) for text in TEXTS]
    assert same_annotation(made, docs, 1e-6)


def test_base_that_moved_is_named_in_the_config(taught_folder, tiny_base, docs, tmp_path):
    moved = shutil.copytree(tiny_base, tmp_path / "moved")
    pipeline = shutil.copytree(taught_folder, tmp_path / "pipeline")
    base = pipeline / "padellm_ner" / "model" / "base.json"
    srsly.write_json(base, {**srsly.read_json(base), "name": "/nowhere"})
    nlp = spacy.load(pipeline, config={"components.padellm_ner.model.name": str(moved)})
    assert same_annotation(nlp.pipe(TEXTS), docs, 1e-6)


def test_base_of_other_weights_is_refused(taught_folder, toy_tokenizer, tmp_path):
    other = write_tiny_base(tmp_path / "other", toy_tokenizer, seed=2)
    nlp = spacy.load(taught_folder, config={"components.padellm_ner.model.name": str(other)})
    with pytest.raises(ValueError, match="saved adapter was trained on base") as error:
        nlp("Bo")
    assert str(other) in str(error.value)
    assert "name" in str(error.value)


# --- other processes ---

SCRIPT = """
import json, sys
import spacy, torch
folder, texts, n_process = json.load(sys.stdin)
torch.set_num_threads(n_process)  # a fork of a process with two threads would hang
nlp = spacy.load(folder)
first = nlp(texts[0])
docs = list(nlp.pipe(texts, n_process=n_process, batch_size=2))
assert [doc.text for doc in docs] == texts
found = lambda doc: [[ent.start_char, ent.end_char, ent.label_] for ent in doc.ents]
assert found(first) == found(docs[0])
scores = [doc.spans["padellm_ner"].attrs["scores"].tolist() for doc in docs]
print(json.dumps([[found(doc) for doc in docs], scores]))
"""
NO_NETWORK = {
    "HF_HUB_OFFLINE": "1",
    "PIP_INDEX_URL": "http://127.0.0.1:9/",
    "PIP_NO_INDEX": "1",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "PYTHONPATH": str(ROOT),
    "OMP_NUM_THREADS": "2",
}


def annotate_elsewhere(folder, texts, n_process=1):
    """Entities and scores from a new process that cannot reach any network."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps([str(folder), texts, n_process]),
        env={**os.environ, **NO_NETWORK},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    entities, scores = json.loads(done.stdout.splitlines()[-1])
    return [[tuple(ent) for ent in ents] for ents in entities], scores


@pytest.mark.weights
@pytest.mark.slow
@pytest.mark.parametrize("n_process", [1, 2])
def test_shipped_pipeline_in_new_processes_without_network(
    assembled, shipped, sample_texts, n_process
):
    texts = [" ".join(text.split()[:8]) for text in sample_texts[:4]]
    docs = list(shipped.pipe(texts))
    entities, scores = annotate_elsewhere(assembled, texts, n_process)
    assert entities == [found(doc) for doc in docs]
    for theirs, doc in zip(scores, docs, strict=True):
        assert theirs == pytest.approx([score for *_, score in scored(doc)], abs=1e-4)


@pytest.mark.slow
def test_spawned_processes(taught_folder):
    code = (
        "import sys, multiprocessing, spacy\n"
        "if __name__ == '__main__':\n"
        "    multiprocessing.set_start_method('spawn')\n"
        f"    nlp = spacy.load({str(taught_folder)!r})\n"
        f"    docs = list(nlp.pipe({TEXTS!r}, n_process=2, batch_size=1))\n"
        "    print([[(e.start_char, e.end_char, e.label_) for e in d.ents] for d in docs])\n"
    )
    path = taught_folder.parent / "spawn.py"
    path.write_text(code, encoding="utf8")
    done = subprocess.run(
        [sys.executable, str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == repr(ENTITIES)
