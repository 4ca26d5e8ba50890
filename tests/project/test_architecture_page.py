"""docs/architecture.md: its modules, names and folders are those of the package."""

import re
from pathlib import Path

import pytest
from support.pages import ARCHITECTURE, find, named_paths, read
from support.pipelines import ROOT

PAGE = read(ARCHITECTURE)


def test_paths_exist():
    paths = named_paths(ARCHITECTURE)
    assert len(paths) > 40
    for path in paths:
        assert find(path), f"there is no {path}"


def test_names_are_in_their_modules():
    """ "`Name` in `folder/module.py`", as docs/architecture.md writes it."""
    named = re.findall(r"`([A-Za-z_][\w.]*)` in `([\w/]+\.py)`", PAGE)
    assert len(named) > 10
    for name, path in named:
        source = Path(find(path)[0]).read_text(encoding="utf8")
        last = name.rpartition(".")[2]
        assert re.search(rf"^ *(class|def) {last}\b|^ *{last}\b.* = ", source, re.MULTILINE), (
            f"{path} defines no {name}"
        )


def test_modules_of_the_picture_exist():
    (picture,) = re.findall(r"```mermaid\n(.*?)```", PAGE, re.DOTALL)
    paths = re.findall(r"\w+/\w+\.py", picture)
    assert len(paths) > 10
    for path in paths:
        assert find(path), f"there is no {path}"


def test_folders_are_those_of_the_import_contract():
    """In the same order, from the top."""
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 can't read pyproject.toml")
    pyproject = tomllib.loads(read(ROOT / "pyproject.toml"))
    contracts = pyproject["tool"]["importlinter"]["contracts"]
    (contract,) = [contract for contract in contracts if contract["type"] == "layers"]
    folders = re.findall(r"^\| `(\w+)/` \|", PAGE, re.MULTILINE)
    assert folders == contract["layers"]
