import os
import re
import shutil
import subprocess

import pytest
from spacy.tokens import Span
from support.html_pages import Page, drawings
from support.pipelines import example, ner_of, script

from spacy_padellm.evaluation.evaluation import evaluate
from spacy_padellm.evaluation.report.documents import worst
from spacy_padellm.evaluation.report.page import report_html
from spacy_padellm.evaluation.report.theme import DARK, LIGHT
from spacy_padellm.training.annotated_labels import ANNOTATED_LABELS

pytest_plugins = ["support.pipeline_fixtures"]

ATTACK = '<script>document.title="ran"</script><img src=x onerror="document.title=\'ran\'">'
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))),
    None,
)
in_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium or Chrome on this machine to render the page"
)


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
    assert "“Eve” was not aligned to the text: its string is not in the text" in text
    assert "place: predicted count 0, gold count 1" in text
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


def test_figures_are_drawings_in_the_page(page):
    drawn = drawings(page)
    assert len(drawn) == 2 * 3  # for light and dark screens
    for svg in drawn:
        assert svg.tag == "{http://www.w3.org/2000/svg}svg"
        assert len(list(svg.iter("{http://www.w3.org/2000/svg}path"))) > 5
    words = ["".join(svg.itertext()) for svg in drawn]
    assert "person" in words[0]
    assert "gold count" in words[1]
    assert "share of right spans" in words[2]


def test_both_screens_are_served(page):
    parsed = Page(page)
    assert {source["media"] for source in parsed.tags("source")} == {"(prefers-color-scheme: dark)"}
    pairs = zip(parsed.tags("source"), parsed.tags("img"), strict=True)
    assert all(dark["srcset"] != light["src"] for dark, light in pairs)
    assert LIGHT.text in page
    assert DARK.text in page


def test_page_without_documents(tiny):
    script(tiny, {})
    text = " ".join(Page(report(tiny, [])).text)
    assert "0 documents" in text
    assert "nan" not in text
    assert "None of 0 documents" in text
    assert "There are no counts to compare" in text
    assert "There are no scored spans" in text


def test_limits_of_the_gold_annotation_are_listed(tiny, page):
    assert "Limits of the gold annotation" not in page
    script(tiny, {})
    golds = [example(tiny, "Bo is here.", [(0, 2, "person")]) for _ in range(2)]
    golds[0].reference.user_data[ANNOTATED_LABELS] = ["person"]
    golds.append(example(tiny, "Oslo is far.", [(0, 4, f"city{ATTACK}")]))
    html = report_html(evaluate(tiny, ner_of(tiny), golds), data="gold.spacy")
    text = " ".join(Page(html).text)
    assert "Limits of the gold annotation:" in text
    assert "Documents that are annotated for some of the labels only" in text
    assert "as spaCy does: 1." in text
    assert f"mentions are missed: city{ATTACK}." in text
    assert "without entity annotation" not in text


def test_repeated_mentions_are_noted_once(tiny):
    script(tiny, {"Bo is here.": [("person", "Eve", 0.5)] * 3})
    html = report(tiny, [("Bo is here.", [(0, 2, "person")])])
    assert html.count("“Eve” was not aligned") == 1
    assert "its string is not in the text (3 times)" in html


def test_any_text_is_shown_whole(tiny):
    """Lines, right-to-left script, no spaces, markup."""
    texts = ["Bo\nis\r\n here.\n", "\u05d1\u05d5 here", "Bo" * 3000, "Bo </br> &lt; <br>"]
    script(tiny, {})
    golds = [example(tiny, text, []) for text in texts]
    for gold in golds:
        gold.reference.ents = [Span(gold.reference, 0, 1, label="person")]
    evaluation = evaluate(tiny, ner_of(tiny), golds)
    text = "".join(Page(report_html(evaluation, data="gold.spacy")).text)
    for line in [line for text in texts for line in text.split("\n") if line.strip()]:
        # the label stands after the first token; predicted documents have no label
        assert line.rstrip("\r") in text.replace("\r", "")


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


def browse(html, folder, *options):
    """Open a page in a browser without a window."""
    path = folder / "page.html"
    path.write_text(html, encoding="utf8")
    done = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--no-first-run", f"--user-data-dir={folder / 'profile'}", "--window-size=1200,2600"),
            *(*options, path.as_uri()),
        ],
        env={**os.environ, "HOME": str(folder)},
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
