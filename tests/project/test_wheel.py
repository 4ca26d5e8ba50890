import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from email.parser import HeaderParser

import pytest
from support.pipelines import ROOT, found

import spacy_padellm

pytest_plugins = ["support.pipeline_fixtures"]

SCRIPT = """
import json, sys
import spacy
name, texts = json.load(sys.stdin)
nlp = spacy.load(name)
found = [[[e.start_char, e.end_char, e.label_] for e in doc.ents] for doc in nlp.pipe(texts)]
print(json.dumps([str(nlp.path), found]))
"""


def run(*command, **settings):
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        **settings,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(assembled, tmp_path_factory):
    """The shipped pipeline as `python -m spacy package` builds it."""
    place = tmp_path_factory.mktemp("package")
    options = ["--name", "padellm_test", "--version", "1.2.3", "--build", "wheel", "--force"]
    run(sys.executable, "-m", "spacy", "package", assembled, place, *options)
    (path,) = place.rglob("*.whl")
    return path


@pytest.mark.weights
@pytest.mark.slow
def test_wheel_holds_the_pipeline_and_asks_for_this_package(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = [name for name in names if name.endswith("METADATA")]
        required = HeaderParser().parsestr(archive.read(metadata).decode()).get_all("Requires-Dist")
    for name in ("adapter_model.safetensors", "adapter_config.json", "base.json"):
        assert any(path.endswith(f"padellm_ner/model/{name}") for path in names)
    # the base is fetched by name, never packed
    assert wheel.stat().st_size < 15 * 2**20
    (own,) = [line for line in required if line.startswith("spacy-padellm")]
    assert spacy_padellm.__version__ in own


@pytest.mark.weights
@pytest.mark.slow
def test_installed_wheel_finds_the_same(wheel, shipped, sample_texts, tmp_path):
    """In a new environment that borrows this one's packages, all but the pipeline's own."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    borrowed = sysconfig.get_path("purelib")
    (site / "borrowed.pth").write_text(f"import site; site.addsitedir({borrowed!r})\n")
    run(
        *(sys.executable, "-m", "pip", "--python", python, "install"),
        *("--quiet", "--no-deps", "--no-index", wheel),
    )
    texts = [" ".join(text.split()[:8]) for text in sample_texts[:6]]
    output = run(python, "-c", SCRIPT, input=json.dumps(["en_padellm_test", texts]), cwd=tmp_path)
    path, entities = json.loads(output.splitlines()[-1])
    assert path.startswith(str(site))
    expected = [found(doc) for doc in shipped.pipe(texts)]
    assert [[tuple(ent) for ent in ents] for ents in entities] == expected
    assert any(expected)
