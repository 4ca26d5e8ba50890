"""The demo page escapes texts and labels."""

import sys

from support.pipelines import ROOT

pytest_plugins = ["support.pipeline_fixtures"]


def test_demo_page_escapes_texts_and_labels(tiny, tmp_path):
    from spacy.tokens import Span

    attack = "<script>document.title='ran'</script>"
    doc = tiny.make_doc(f"Bo {attack} <b>")
    last = len(doc) - 1
    image = '"><img src=x onerror=1>'
    doc.set_ents([Span(doc, 0, 1, label=attack), Span(doc, last, last + 1, label=image)])
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        from demo import write_html
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    write_html([doc], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf8")
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("&lt;script&gt;") == 2
