"""Pages of the documentation, and the files they name."""

import re
from glob import glob

from support.pipelines import ROOT

ARCHITECTURE = ROOT / "docs" / "architecture.md"
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def read(page):
    return page.read_text(encoding="utf8")


def prose(page):
    """RETURNS (str): A page without its fenced blocks."""
    return FENCE.sub("", read(page))


def named_paths(page):
    """RETURNS (set[str]): The modules, tests, results and folders with a slash in their names that
    a page has as code."""
    spans = {span.partition("::")[0] for span in re.findall(r"`([^`\n]+)`", prose(page))}
    paths = {span for span in spans if re.fullmatch(r"[\w./*-]+", span) and "/" in span}
    folders = ("results/", "benchmarks/", "spacy_padellm/", "tests/", "configs/")
    return {path for path in paths if path.endswith((".py", ".md")) or path.startswith(folders)}


def find(path):
    """RETURNS (list[str]): The files or folders that a path (or pattern) of a page names: from the
    root, in the package, or in benchmarks/."""
    return [
        match
        for folder in (ROOT, ROOT / "spacy_padellm", ROOT / "benchmarks")
        for match in glob(str(folder / path))
    ]
