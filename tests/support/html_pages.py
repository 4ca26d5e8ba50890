"""Parse pages of the report and their figures."""

import base64
from html.parser import HTMLParser
from xml.etree import ElementTree

VOID = {"meta", "link", "img", "br", "source", "input", "hr"}


class Page(HTMLParser):
    """Elements and text of a page; fails at a closing tag that does not match the open tag."""

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


def drawings(html):
    """The figures of a page; fails if a figure is not well-formed SVG in a data URI."""
    parsed = Page(html)
    uris = [image["src"] for image in parsed.tags("img")]
    uris += [source["srcset"] for source in parsed.tags("source")]
    start = "data:image/svg+xml;base64,"
    assert all(uri.startswith(start) for uri in uris)
    return [ElementTree.fromstring(base64.b64decode(uri[len(start) :])) for uri in uris]
