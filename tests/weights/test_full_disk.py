"""A disk that is full when a base is converted."""

import json
import subprocess
import sys
import textwrap

import pytest

pytest_plugins = ["support.pipeline_fixtures"]

FULL = """
    import json, pathlib, resource, sys

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from spacy_padellm.weights.gguf import _save
    from spacy_padellm.weights.store import build_folder

    base, folder = map(pathlib.Path, sys.argv[1:])
    network = AutoModelForCausalLM.from_pretrained(base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    def write(scratch, made):
        _save(network, tokenizer, made)
        return {}

    try:
        build_folder(folder, write, progress=False)
    except OSError as error:
        print(json.dumps(str(error)))
"""


def test_disk_that_is_full_when_a_base_is_converted(tiny_base, tmp_path):
    """A limit on the size of files stands for the full disk: writing fails in the same place."""
    pytest.importorskip("resource", reason="limits of processes are Unix's")
    folder = tmp_path / "cache" / "converted"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(FULL), str(tiny_base), str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    message = json.loads(done.stdout)
    assert "The weights can't be written to" in message
    assert "large" in message
    assert [path.name for path in folder.parent.iterdir()] == ["converted.lock"]
