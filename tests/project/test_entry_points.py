import os
import re
import subprocess
import sys
from importlib.metadata import entry_points

import pytest
import spacy
from spacy.language import Language
from support.pipelines import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 can't read pyproject.toml")

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))
DECLARED = [
    (group, name, value)
    for group, points in PYPROJECT["project"]["entry-points"].items()
    for name, value in points.items()
]
REGISTRIES = {
    "spacy_architectures": "architectures",
    "spacy_callbacks": "callbacks",
    "spacy_misc": "misc",
    "spacy_scorers": "scorers",
    "spacy_span_getters": "span_getters",
}
HEAVY = ("torch", "transformers", "peft", "huggingface_hub", "spacy_transformers")


@pytest.mark.parametrize(("group", "name", "value"), DECLARED)
def test_entry_point_is_found_in_spacys_registry(group, name, value):
    (installed,) = entry_points(group=group, name=name)
    assert installed.value == value, "the package is installed from other metadata: install it anew"
    function = installed.load()
    if group in REGISTRIES:
        assert spacy.registry.get(REGISTRIES[group], name) is function
    elif group == "spacy_factories":
        assert Language.has_factory(name)
        assert Language.get_factory_meta(name).factory == name
    else:
        assert group == "spacy_cli"


@pytest.mark.parametrize(
    "name", [name for group, name, _ in DECLARED if group not in ("spacy_factories", "spacy_cli")]
)
def test_registered_names_have_a_version(name):
    assert re.fullmatch(r"spacy-padellm\.\w+\.v1", name)


@pytest.mark.parametrize(
    "module", ["spacy_padellm", "spacy_padellm.pipeline.factory", "spacy_padellm.cli"]
)
def test_nothing_heavy_is_imported_before_it_is_needed(module):
    """spaCy imports the factory for every `spacy.blank`, the commands for every command."""
    # thinc imports torch where it is installed, so what thinc brings is taken off
    code = (
        "import sys, spacy.cli, spacy.language; before = set(sys.modules)\n"
        f"import {module}\n"
        f"print([n for n in {HEAVY!r} if n in sys.modules and n not in before])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_factory_takes_the_default_config():
    config = spacy.blank("en").get_factory_meta("padellm_ner").default_config
    assert config["labels"] == []
    assert config["model"]["name"] == "smollm2-135m"
    names = {
        part["@misc"] for part in config.values() if isinstance(part, dict) and "@misc" in part
    }
    assert names <= {name for _, name, _ in DECLARED}
