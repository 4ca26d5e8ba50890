import os
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from pipelines import example, ner_of, script

from spacy_padellm.evaluation import evaluate
from spacy_padellm.report.documents import worst
from spacy_padellm.report.figures import labels_figure
from spacy_padellm.report.page import report_html
from spacy_padellm.report.theme import DARK, LIGHT

pytest_plugins = ["pipeline_fixtures"]

ATTACK = '<script>document.title="ran"</script><img src=x onerror="document.title=\'ran\'">'
VOID = {"meta", "link", "img", "br", "source", "input", "hr"}
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))),
    None,
)
in_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium or Chrome on this machine to look at the page"
)


class Page(HTMLParser):
    """Elements and text of a page; fails at a tag that closes another than the open one."""

    def __init__(self, html):
        super().__init__()
        self.open, self.elements, self.text = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def tags(self, name):
        return [attributes for tag, attributes in self.elements if tag == name]


def report(nlp, golds, **settings):
    evaluation = evaluate(nlp, ner_of(nlp), [example(nlp, *gold) for gold in golds])
    return report_html(evaluation, **{"data": "gold.spacy", **settings})


@pytest.fixture
def page(tiny):
    script(
        tiny,
        {
            "Ada met Bo.": [("person", "Ada", 0.9), ("person", "Eve", 0.4)],
            "Bo likes Oslo.": [("person", "Oslo", 0.6)],
        },
    )
    golds = [
        ("Ada met Bo.", [(0, 3, "person"), (8, 10, "person")]),
        ("Bo likes Oslo.", [(0, 2, "person"), (9, 13, "place")]),
        ("All is right.", []),
    ]
    return report(tiny, golds)


@pytest.fixture
def attacked(tiny):
    """A page of which every string that comes from data is an attack."""
    label = f"person{ATTACK}"
    ner_of(tiny).cfg["labels"] = [label, "place"]
    ner_of(tiny).name = ATTACK
    tiny.meta["name"] = ATTACK
    text = f"Bo and {ATTACK} met {ATTACK}."
    script(tiny, {text: [(label, "Bo", 0.9), (label, ATTACK, 0.8), ("place", f"no{ATTACK}", 0.5)]})
    golds = [(text, [(0, 2, label), (len(text) - 1, len(text), f"other{ATTACK}")])]
    return report(tiny, golds, data=f"{ATTACK}.spacy")


def test_page_parses_and_holds_the_parts(page):
    parsed = Page(page)
    text = " ".join(parsed.text)
    for heading in ("Scores", "Counts", "Calibration", "Worst documents", "Model and versions"):
        assert heading in text
    assert len(parsed.tags("img")) == 3
    assert "Document 2: 2 missed, 1 wrong" in text
    assert "Document 1: 1 missed, 0 wrong" in text
    assert "Document 3" not in text
    assert "“Eve” has no place: its string is not in the text" in text
    assert "place: the model says 0, gold has 1" in text
    marks = [mark["class"] for mark in parsed.tags("mark")]
    assert marks == [
        *("entity missed", "entity missed", "entity wrong"),
        *("entity right", "entity missed", "entity right"),
    ]


def test_page_loads_nothing(page):
    parsed = Page(page)
    policy = parsed.tags("meta")[1]
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert policy["content"].startswith("default-src 'none'")
    for tag, attributes in parsed.elements:
        assert tag not in ("script", "link", "iframe", "object", "base", "a")
        for name in ("src", "srcset", "href", "data", "poster"):
            assert attributes.get(name, "data:").startswith("data:"), tag
    assert not re.search(r"https?://|url\(|@import|//\w", re.sub(r'"data:[^"]*"', "", page))


def test_both_screens_are_served(page):
    parsed = Page(page)
    assert {source["media"] for source in parsed.tags("source")} == {"(prefers-color-scheme: dark)"}
    pairs = zip(parsed.tags("source"), parsed.tags("img"), strict=True)
    assert all(dark["srcset"] != light["src"] for dark, light in pairs)
    assert LIGHT.text in page
    assert DARK.text in page


def test_same_figures_each_time():
    scores = {"person": (0.5, 0.25), "place": (1.0, 1.0)}
    assert labels_figure(scores) == labels_figure(scores)


@pytest.mark.parametrize("label", ["$x_", "$\\frac{$", "人名", "_private", "a" * 200, "<b>&amp;"])
def test_any_label_can_be_drawn(label, recwarn):
    assert labels_figure({label: (0.5, 0.5), "person": (0.0, 1.0)}).startswith("<picture>")
    assert not recwarn.list


def test_page_of_nothing(tiny):
    script(tiny, {})
    text = " ".join(Page(report(tiny, [])).text)
    assert "0 documents" in text
    assert "nan" not in text
    assert "0 of 0 documents" in text


def test_whatever_comes_from_data_is_escaped(attacked):
    parsed = Page(attacked)
    assert not parsed.tags("script")
    assert all("onerror" not in attributes for _, attributes in parsed.elements)
    assert all(img["src"].startswith("data:") for img in parsed.tags("img"))
    assert len(parsed.tags("img")) == 3
    assert "<script" not in attacked
    assert " ".join(parsed.text).count(ATTACK) > 8


def test_worst_come_first_and_right_ones_not_at_all(tiny):
    texts = ["Bo is here.", "Bo met Ada.", "Nothing.", "Ada and Bo."]
    golds = [
        (texts[0], [(0, 2, "person")]),
        (texts[1], [(0, 2, "person"), (7, 10, "person")]),
        (texts[2], []),
        (texts[3], [(0, 3, "person")]),
    ]
    script(tiny, {})
    outcomes = evaluate(tiny, ner_of(tiny), [example(tiny, *gold) for gold in golds]).outcomes
    assert [number for number, _ in worst(outcomes, 10)] == [2, 1, 4]
    assert [number for number, _ in worst(outcomes, 2)] == [2, 1]


def browse(html, place, *options):
    """Open a page in a browser without a window."""
    path = place / "page.html"
    path.write_text(html, encoding="utf8")
    done = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--no-first-run", f"--user-data-dir={place / 'profile'}", "--window-size=1200,2600"),
            *(*options, path.as_uri()),
        ],
        env={**os.environ, "HOME": str(place)},
        capture_output=True,
        text=True,
        encoding="utf8",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@in_browser
def test_nothing_runs_in_a_browser(attacked, tmp_path):
    """Neither by escaping alone nor by the page's policy alone."""
    policy = re.compile(r"<meta http-equiv[^>]*>")
    ran = "<title>ran</title>"
    assert policy.search(attacked)
    assert ran not in browse(policy.sub("", attacked), tmp_path, "--dump-dom")
    raw = attacked.replace("</body>", f"{ATTACK}</body>")
    assert ran not in browse(raw, tmp_path, "--dump-dom")
    without = browse(policy.sub("", raw), tmp_path, "--dump-dom")
    assert ran in without, "the attack itself does not work"


@in_browser
@pytest.mark.parametrize(("scheme", "theme"), [(1, LIGHT), (0, DARK)], ids=["light", "dark"])
def test_page_renders_in_a_browser(page, tmp_path, scheme, theme):
    from PIL import Image

    picture = tmp_path / "page.png"
    settings = f"--blink-settings=preferredColorScheme={scheme}"
    browse(page, tmp_path, settings, f"--screenshot={picture}")
    with Image.open(picture) as image:
        counted = image.convert("RGB").getcolors(image.width * image.height)
    colours = {colour: n for n, colour in counted}
    total = sum(colours.values())
    assert colours[rgb(theme.page)] > total / 2
    # bars of the figures; an image that fails to load would leave none
    assert colours.get(rgb(theme.first), 0) > 500
    assert colours.get(rgb(theme.second), 0) > 500
    assert colours.get(rgb(theme.surface), 0) > 1000
    other = LIGHT if theme is DARK else DARK
    assert colours.get(rgb(other.page), 0) < total / 20


def rgb(colour):
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
