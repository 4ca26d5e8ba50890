"""Span getters: the parts of documents that are processed separately, as in spacy-transformers.

DOCS: https://spacy.io/api/transformer#span_getters
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import catalogue
from spacy import registry
from spacy.tokens import Doc, Span

# Documents to the spans of each document.
SpanGetter = Callable[[Sequence[Doc]], Sequence[Sequence[Span]]]


def ensure_registry() -> None:
    """Add the registry `span_getters` to spaCy, unless spacy-transformers has done so.

    Both create it with the same namespace, so neither the order nor a second creation matters.
    """
    if not hasattr(registry, "span_getters"):
        getters = catalogue.create("spacy", "span_getters", entry_points=True)
        setattr(registry, "span_getters", getters)  # noqa: B010 (the class does not declare it)


def make_doc_spans() -> SpanGetter:
    """Registered as `spacy-padellm.doc_spans.v1` in the registry `span_getters`.

    RETURNS (SpanGetter): `doc_spans`, the default.
    """
    return doc_spans


def doc_spans(docs: Sequence[Doc]) -> list[list[Span]]:
    """RETURNS (list[list[Span]]): Each document as a whole."""
    return [[doc[:]] for doc in docs]


def make_strided_spans(window: int, stride: int) -> SpanGetter:
    """Registered as `spacy-padellm.strided_spans.v1` in the registry `span_getters`.

    window (int): Tokens of a span.
    stride (int): Tokens from the start of a span to that of the next, at most `window`.
    RETURNS (SpanGetter): Spans of `window` tokens, which overlap if `stride` is less.
    RAISES (ValueError): Numbers below 1, or a stride that leaves tokens out.
    """
    for name, value in (("window", window), ("stride", stride)):
        if type(value) is not int or value < 1:
            raise ValueError(f"strided_spans: {name} must be an integer from 1, not {value!r}.")
    if stride > window:
        raise ValueError(
            f"strided_spans: a stride of {stride} tokens is more than the window of {window}, so "
            "that tokens would lie in no span. Give a stride of at most the window."
        )

    return partial(strided_spans, window=window, stride=stride)


def strided_spans(docs: Sequence[Doc], window: int, stride: int) -> list[list[Span]]:
    """RETURNS (list[list[Span]]): The spans of each document, the last of which ends with it."""
    return [
        [
            doc[start : start + window]
            for start in range(0, max(len(doc) - window, 0) + stride, stride)
        ]
        for doc in docs
    ]


def make_sent_spans() -> SpanGetter:
    """Registered as `spacy-padellm.sent_spans.v1` in the registry `span_getters`.

    RETURNS (SpanGetter): `sent_spans`.
    """
    return sent_spans


def sent_spans(docs: Sequence[Doc]) -> list[list[Span]]:
    """RETURNS (list[list[Span]]): The sentences of each document.

    RAISES (ValueError): A document without sentence boundaries.
    """
    for doc in docs:
        if len(doc) and not doc.has_annotation("SENT_START"):
            raise ValueError(
                f"sent_spans: a document has no sentence boundaries: {doc.text[:60]!r}… Put a "
                "sentencizer before the component; in training name it in "
                "[training] annotating_components."
            )
    return [list(doc.sents) for doc in docs]
