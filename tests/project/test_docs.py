"""README, CONTRIBUTING and docs/: links, paths, names and commands exist."""

import contextlib
import io
import re

import pytest
import typer
from support.pages import ARCHITECTURE, FENCE, find, named_paths, prose, read
from support.pipelines import ROOT

from spacy_padellm.cli import app

pytest_plugins = ["support.pipeline_fixtures"]

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
LINKED = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "assets" / "adapter" / "README.md"]
README_LINES = 250


def pages(paths):
    names = [str(path.relative_to(ROOT)) for path in paths]
    return pytest.mark.parametrize("page", paths, ids=names)


def anchors(page):
    """RETURNS (set[str]): The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


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


@pages([page for page in PAGES if page != ARCHITECTURE])
def test_paths_exist(page):
    for path in named_paths(page):
        assert find(path), f"there is no {path}"


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


@pytest.mark.weights
def test_first_example_prints_what_readme_shows(assembled):
    """Probabilities may differ in their last digits between machines."""
    use = read(ROOT / "README.md").partition("## Use\n")[2]
    example = re.search(r"```python\n(.*?)```", use, re.DOTALL).group(1)
    shown = re.search(r"```text\n(.*?)```", use, re.DOTALL).group(1).splitlines()
    assert "build/en_padellm" in example
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(example.replace("build/en_padellm", str(assembled)), {})
    lines = printed.getvalue().splitlines()
    score = re.compile(r"\b[01]\.\d{3}\b")
    assert [score.sub("", line) for line in lines] == [score.sub("", line) for line in shown]
    for line, expected in zip(lines, shown):
        assert float(score.search(line)[0]) == pytest.approx(
            float(score.search(expected)[0]), abs=0.01
        )
