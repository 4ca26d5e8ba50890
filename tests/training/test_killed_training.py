"""What `spacy train` leaves when its process is killed, or its disk is full."""

import json
import os
import subprocess
import sys

import pytest
import spacy
from spacy.tokens import DocBin
from support.pipelines import GOLD, LORA, ROOT, blank_pipeline, example

pytest_plugins = ["support.pipeline_fixtures"]


@pytest.fixture(scope="module")
def left_behind(tiny_base, tmp_path_factory):
    """What trainings left that died while they saved, by what they died of."""
    folder = tmp_path_factory.mktemp("killed")
    nlp = blank_pipeline(
        tiny_base,
        LORA,
        decoder={
            "@misc": "spacy-padellm.tree_decoder.v1",
            "max_count": 1,
            "max_mention_tokens": 2,
        },
    )
    docs = [example(nlp, text, entities).reference for text, entities in GOLD[:2]]
    DocBin(docs=docs).to_disk(folder / "gold.spacy")
    config = nlp.config
    config["paths"].update(train=str(folder / "gold.spacy"), dev=str(folder / "gold.spacy"))
    config["training"].update(
        max_steps=0,
        patience=0,
        eval_frequency=1,
        before_to_disk={"@callbacks": "spacy-padellm.whole_checkpoints.v1"},
    )
    config.to_disk(folder / "config.cfg")
    run = subprocess.run(
        [sys.executable, ROOT / "tests/support/killed_training.py", folder / "config.cfg", folder],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return folder, json.loads(run.stdout)


@pytest.mark.parametrize("parts", [1, 2, 4, 5])
def test_killed_while_saving(left_behind, parts):
    """SIGKILL when half of a checkpoint is written: model-last is the one before, every byte."""
    folder, report = left_behind
    end = report[f"killed after {parts} parts"]
    assert end["killed"]
    assert len(end["saved"]) == 2
    assert end["left"]["model-last"] == end["saved"][-1]
    assert end["left"]["model-last.tmp"] not in end["saved"]
    assert spacy.load(folder / f"parts{parts}/model-last")("Bo likes Oslo.") is not None


@pytest.mark.parametrize("number", range(3))
def test_killed_at_any_moment(left_behind, number):
    """SIGKILL wherever the training is: model-last is the last checkpoint or the one before."""
    folder, report = left_behind
    end = report[f"killed at moment {number}"]
    assert end["killed"]
    assert len(end["saved"]) >= 3
    assert end["left"]["model-last"] in end["saved"][-2:]
    assert spacy.load(folder / f"moment{number}/model-last")("Bo likes Oslo.") is not None


def test_without_the_callback_half_a_checkpoint_is_left(left_behind):
    """What the callback is for; should spaCy come to write whole folders, it can go."""
    _, report = left_behind
    end = report["killed without the callback"]
    assert end["killed"]
    assert end["left"]["model-last"] not in end["saved"]


def test_killed_while_the_best_is_copied(left_behind):
    """spaCy copies model-last to model-best file by file: model-last is whole, and is that best."""
    folder, report = left_behind
    end = report["killed in the copy to model-best"]
    assert end["killed"]
    assert end["left"]["model-last"] == end["saved"][-1]
    assert end["left"]["model-best"] not in end["saved"]
    assert spacy.load(folder / "best/model-last")("Bo likes Oslo.") is not None


def test_disk_full_in_training(left_behind):
    """Writes that fail in the middle of a file, in spaCy's training loop."""
    folder, report = left_behind
    end = report["disk full"]
    assert not end["killed"]
    assert end["error"].startswith("OSError")
    assert "The checkpoint was not saved" in end["error"]
    assert "before is whole" in end["error"]
    assert end["left"]["model-last"] in end["saved"]
    assert "model-last.tmp" not in end["left"]
    assert spacy.load(folder / "full/model-last")("Bo likes Oslo.") is not None


def test_disk_full_while_the_best_is_copied(left_behind):
    """model-best is half of it; model-last is whole, and is that best."""
    folder, report = left_behind
    end = report["disk full in the copy to model-best"]
    assert not end["killed"]
    assert "No space left" in end["error"]
    assert end["left"]["model-last"] == end["saved"][-1]
    assert end["left"]["model-best"] not in end["saved"]
    assert spacy.load(folder / "fullbest/model-last")("Bo likes Oslo.") is not None
