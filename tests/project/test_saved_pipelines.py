"""Saved pipelines: a full disk, settings of other versions, damaged settings."""

import json
import re
import shutil
import subprocess
import sys
import textwrap

import pytest
import spacy
from support.pipelines import ENTITIES, TEXTS, found

pytest_plugins = ["support.pipeline_fixtures"]

# --- disk ---

FULL = """
    import resource, sys
    import spacy

    nlp = spacy.load(sys.argv[1])
    nlp("Bo likes Oslo.")
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        nlp.to_disk(sys.argv[2])
    except OSError as error:
        print(type(error).__name__, error, flush=True)
    print([ent.text for ent in nlp("Bo likes Oslo.").ents])
"""


def test_disk_that_is_full_when_saving(taught_folder, tmp_path):
    """A limit on the size of files stands for the full disk: writing fails in the same place."""
    pytest.importorskip("resource", reason="limits of processes are Unix's")
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(FULL)]
    done = subprocess.run(
        [*command, str(taught_folder), str(tmp_path / "saved")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    error, entities = done.stdout.splitlines()
    assert "OSError" in error
    assert "File too large" in error
    assert entities == "['Bo', 'Oslo']"


# --- configs of other versions ---


def saved_with(folder, tmp_path, change):
    """A copy of a saved pipeline with another config."""
    copy = shutil.copytree(folder, tmp_path / "pipeline")
    config = (copy / "config.cfg").read_text(encoding="utf8")
    changed = change(config)
    assert changed != config
    (copy / "config.cfg").write_text(changed, encoding="utf8")
    return copy


def test_setting_that_this_version_does_not_know(taught_folder, tmp_path):
    copy = saved_with(
        taught_folder, tmp_path, lambda c: c.replace("max_count = 99", "max_count = 99\nwarp = 3")
    )
    with pytest.raises(ValueError, match="warp"):
        spacy.load(copy)


@pytest.mark.parametrize(
    "line", ["joint_starts = true\n", "threshold = 0.0\n", "tag_text = false\n"]
)
def test_setting_that_an_older_version_did_not_have(taught_folder, tmp_path, line):
    copy = saved_with(taught_folder, tmp_path, lambda c: c.replace(line, ""))
    nlp = spacy.load(copy)
    assert [found(doc) for doc in nlp.pipe(TEXTS)] == ENTITIES


@pytest.mark.parametrize("name", ["tree_decoder", "CausalLM", "prompt", "deduplicate_by_span"])
def test_name_of_a_later_version(taught_folder, tmp_path, name):
    old, new = (f"spacy-padellm.{name}.v{n}" for n in (1, 2))
    copy = saved_with(taught_folder, tmp_path, lambda c: c.replace(old, new))
    with pytest.raises(ValueError, match=re.escape(new)) as error:
        spacy.load(copy)
    assert old in str(error.value)  # spaCy lists the names that are there


def test_saved_settings_that_are_damaged(taught_folder, tmp_path):
    copy = shutil.copytree(taught_folder, tmp_path / "pipeline")
    path = copy / "padellm_ner" / "cfg"
    cfg = json.loads(path.read_text(encoding="utf8"))
    path.write_text(json.dumps({**cfg, "threshold": "high"}), encoding="utf8")
    with pytest.raises(ValueError, match="threshold must be a probability .* not 'high'"):
        spacy.load(copy)
    path.write_text(json.dumps({**cfg, "labels": 3}), encoding="utf8")
    with pytest.raises(ValueError, match="labels must be a list"):
        spacy.load(copy)
    for content in ("{", "[1]"):
        path.write_text(content, encoding="utf8")
        with pytest.raises(ValueError, match="cfg is no JSON object"):
            spacy.load(copy)
    path.write_text(json.dumps({**cfg, "of a later version": 1}), encoding="utf8")
    assert found(spacy.load(copy)(TEXTS[1])) == ENTITIES[1]
