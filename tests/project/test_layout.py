"""The layout and the vocabulary of the source: where modules lie, how long they are, which words
they use. The order of imports is checked by `lint-imports`."""

import re

import pytest
from support.pipelines import ROOT

MAX_LINES = 300
FOLDERS = ("spacy_padellm", "tests", "benchmarks", "scripts")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))

# A model generates tokens and a decoder selects them: neither speaks nor listens.
BANNED_WORD = re.compile(
    "say|says|said|tell|tells|told|hear|hears|heard|speak|speaks|spoken|speaker|glance|glances",
    re.I,
)
# Keys of JSON results: files that were written with them are still read.
JSON_KEYS = ("gold_by_said", "said")


def banned_words(source):
    """RETURNS (list[tuple[int, str]]): Line number and word of each banned word in a source, which
    may be part of a name in snake_case or CamelCase."""
    for key in JSON_KEYS:
        source = re.sub(rf"""(["'`]){key}\1""", '""', source)
    words = re.finditer(r"[A-Z]?[a-z]+|[A-Z]+", source)
    return [
        (source.count("\n", 0, word.start()) + 1, word.group())
        for word in words
        if BANNED_WORD.fullmatch(word.group())
    ]


def test_modules_lie_in_folders():
    names = {path.name for path in (ROOT / "spacy_padellm").glob("*.py")}
    assert names == {"__init__.py"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_modules_are_short(folder):
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf8").splitlines())
        for path in MODULES
        if path.is_relative_to(ROOT / folder)
    }
    assert lines
    assert {path: n for path, n in lines.items() if n > MAX_LINES} == {}


def test_names_of_test_files_are_unique():
    """Pytest imports a test file by its name alone, and refuses a second one of that name."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) > 80
    assert sorted(set(names)) == sorted(names)


def test_vocabulary():
    package = [path for path in MODULES if path.is_relative_to(ROOT / "spacy_padellm")]
    found = [
        f"{path.relative_to(ROOT)}:{line}: {word}"
        for path in package
        for line, word in banned_words(path.read_text(encoding="utf8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("n_said = 1", ["said"]),
        ("def say_first_digits(): ...", ["say"]),
        ("class LoudSpeaker: ...", ["Speaker"]),
        ("# What was TOLD.", ["TOLD"]),
        ('counts["said"] + counts["gold_by_said"]', []),
        ("essay = speakers = unsaid", []),
    ],
)
def test_banned_words_are_found(source, words):
    assert [word for _, word in banned_words("\n" + source)] == words


def test_banned_words_have_a_line():
    assert banned_words('x = "said"\n\nsaid = 1') == [(3, "said")]
