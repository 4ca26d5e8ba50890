"""README, CONTRIBUTING and docs/: links, paths, names and commands exist."""

import re
from glob import glob
from pathlib import Path

import pytest
import typer
from support.pipelines import ROOT

from spacy_padellm.cli import app

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
LINKED = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "assets" / "adapter" / "README.md"]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf8")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
README_LINES = 250


def pages(paths):
    names = [str(path.relative_to(ROOT)) for path in paths]
    return pytest.mark.parametrize("page", paths, ids=names)


def read(page):
    return page.read_text(encoding="utf8")


def prose(page):
    """RETURNS (str): A page without its fenced blocks."""
    return FENCE.sub("", read(page))


def code_spans(page):
    return re.findall(r"`([^`\n]+)`", prose(page))


def anchors(page):
    """RETURNS (set[str]): The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def find(path):
    """RETURNS (list[str]): The files or folders that a path (or pattern) of a page names: from the
    root, in the package, or in benchmarks/."""
    return [
        match
        for folder in (ROOT, ROOT / "spacy_padellm", ROOT / "benchmarks")
        for match in glob(str(folder / path))
    ]


def test_readme_is_short():
    assert len(read(ROOT / "README.md").splitlines()) <= README_LINES


@pages(LINKED)
def test_links_resolve(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"no file of the link {link}"
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), f"no heading of the link {link}"


@pages(PAGES)
def test_paths_exist(page):
    """Modules, tests, results and folders that have a slash in their names."""
    paths = {span.partition("::")[0] for span in code_spans(page)}
    paths = {path for path in paths if re.fullmatch(r"[\w./*-]+", path)}
    modules = {path for path in paths if "/" in path and path.endswith((".py", ".md", ".cfg"))}
    results = {path for path in paths if path.startswith(("results/", "benchmarks/"))}
    package = {path for path in paths if path.startswith("spacy_padellm/")}
    for path in modules | results | package:
        assert find(path), f"there is no {path}"


def test_names_are_in_their_modules():
    """ "`Name` in `folder/module.py`", as docs/architecture.md writes it."""
    named = re.findall(r"`([A-Za-z_][\w.]*)` in `([\w/]+\.py)`", ARCHITECTURE)
    assert len(named) > 10
    for name, path in named:
        source = Path(find(path)[0]).read_text(encoding="utf8")
        last = name.rpartition(".")[2]
        assert re.search(rf"^ *(class|def) {last}\b|^ *{last}\b.* = ", source, re.MULTILINE), (
            f"{path} defines no {name}"
        )


def test_modules_of_the_picture_exist():
    (picture,) = re.findall(r"```mermaid\n(.*?)```", ARCHITECTURE, re.DOTALL)
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
    folders = re.findall(r"^\| `(\w+)/` \|", ARCHITECTURE, re.MULTILINE)
    assert folders == contract["layers"]


def commands(page):
    """YIELDS (list[str]): The words of each command in the blocks of a page, and in its text."""
    text = read(page).replace("\\\n", " ")
    for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            yield line.partition(" #")[0].split()
    for span in re.findall(r"`(python [^`]+)`", FENCE.sub("", text)):
        yield span.split()


@pages([*PAGES, ROOT / "assets" / "adapter" / "README.md"])
def test_commands_exist(page):
    """Subcommands of `spacy padellm` with the options given, scripts, and configs."""
    known = typer.main.get_command(app).commands
    for words in commands(page):
        if words[:4] == ["python", "-m", "spacy", "padellm"] and len(words) > 4:
            name, *arguments = words[4:]
            assert name in known, words
            options = {option for param in known[name].params for option in param.opts}
            given = {word for word in arguments if word.startswith("--") and "." not in word}
            assert given <= options, words
        if words[:1] == ["python"] and words[1].endswith(".py"):
            assert (ROOT / words[1]).is_file(), words
        for word in words:
            if word.startswith("configs/"):
                assert find(word), words
