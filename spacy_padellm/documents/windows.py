"""The parts of long documents that the model reads at once."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from spacy.tokens import Doc

from .cutting import cut
from .gold import Gold
from .occurrences import token_bounds
from .span_getters import SpanGetter, doc_spans

if TYPE_CHECKING:
    from ..tokenization.codec import Codec

LEAST_TOKENS = 16  # of a window: a character may be several tokens
# A text of more characters is cut without being tokenised as a whole.
MOST_COUNTED = 16


class Window(NamedTuple):
    """A part of a document that is read on its own; no white space at its edges.

    start (int): Character of `doc.text` where it starts.
    end (int): Character after its last one.
    """

    start: int
    end: int


# The windows of a document in reading order; None where it is read whole.
DocWindows = tuple[Window, ...] | None


class Divided(NamedTuple):
    """How documents are to be read.

    windows (list[DocWindows]): The windows of each document.
    ids (list[list[int] | None]): The token ids of those that were tokenised to find out.
    """

    windows: list[DocWindows]
    ids: list[list[int] | None]


class Windows:
    """Divides documents into windows.

    get_spans (SpanGetter): The parts of documents to read on their own.
    tokens (int | None): Most model tokens of a window: a longer part is read in several. None for
        as many as the model can tell apart.
    overlap (int): Model tokens that two such windows share, about.
    """

    def __init__(
        self, get_spans: SpanGetter = doc_spans, tokens: int | None = None, overlap: int = 0
    ):
        check_windows(get_spans, tokens, overlap)
        self.get_spans = get_spans
        self.tokens = tokens
        self.overlap = overlap

    def divide(self, docs: Sequence[Doc], codec: Codec, most: int | None) -> Divided:
        """Find the windows of documents; those of one don't depend on the others.

        docs (Sequence[Doc]): The documents.
        codec (Codec): The tokenizer of the model.
        most (int | None): Most tokens of a text that the model has room for, None for any number.
        RETURNS (Divided): The windows of each.
        RAISES (ValueError): Spans that are not those of the documents.
        """
        limits = [one for one in (self.tokens, most) if one is not None]
        limit = max(min(limits), LEAST_TOKENS) if limits else None
        texts = [doc.text for doc in docs]
        if self.get_spans is doc_spans:
            parts = [[Window(0, len(text))] for text in texts]
        else:
            parts = self._parts(docs)
        long, ids = _long(texts, parts, codec, limit)
        windows: list[DocWindows] = []
        for i, (doc, text) in enumerate(zip(docs, texts, strict=True)):
            if limit is None or not any((i, part) in long for part in parts[i]):
                windows.append(_unless_whole(text, parts[i]))
                continue
            found: list[Window] = []
            bounds, overlap = token_bounds(doc), min(self.overlap, limit // 2)
            for part in parts[i]:
                if (i, part) in long:
                    pieces = cut(text, bounds, part, codec, limit, overlap, most)
                    found += [Window(*piece) for piece in pieces]
                else:
                    found.append(part)
            windows.append(_trimmed(text, found))
        return Divided(windows, ids)

    def _parts(self, docs: Sequence[Doc]) -> list[list[Window]]:
        groups = list(self.get_spans(docs))
        if len(groups) != len(docs):
            raise ValueError(
                f"get_spans gave spans for {len(groups)} documents, and was asked for {len(docs)}. "
                "It must give one list of spans a document."
            )
        parts = []
        for doc, spans in zip(docs, groups, strict=True):
            if any(span.doc is not doc for span in spans):
                raise ValueError(f"get_spans gave a span of another document for {doc.text[:60]!r}")
            parts.append(sorted({Window(span.start_char, span.end_char) for span in spans}))
        return parts


def _long(
    texts: Sequence[str], parts: Sequence[Sequence[Window]], codec: Codec, limit: int | None
) -> tuple[set[tuple[int, Window]], list[list[int] | None]]:
    """Find what has more tokens than a window may have.

    Texts that have no more bytes are not tokenised for it, nor are those of so many characters that
    they are cut anyway.

    RETURNS (tuple[set[tuple[int, Window]], list[list[int] | None]]): Numbers of documents with
        their parts that are too long, or too long to count; token ids of the documents that were
        tokenised as a whole.
    """
    long: set[tuple[int, Window]] = set()
    ids: list[list[int] | None] = [None] * len(texts)
    if limit is None:
        return long, ids
    unsure = []
    for i, windows in enumerate(parts):
        for part in windows:
            text = texts[i] if part == (0, len(texts[i])) else texts[i][part.start : part.end]
            if len(text) > MOST_COUNTED * limit:
                long.add((i, part))
            elif not _is_short(text, limit):
                unsure.append((i, part, text))
    said = codec.encode_texts([text for *_, text in unsure])
    for (i, part, text), tokens in zip(unsure, said, strict=True):
        if len(tokens) > limit:
            long.add((i, part))
        elif text is texts[i]:
            ids[i] = tokens
    return long, ids


def check_windows(get_spans: Any, tokens: Any, overlap: Any) -> None:
    """Check the settings of windows; the arguments are those of Windows.

    RAISES (ValueError): The first setting that can't be, with its value and what it may be.
    """
    if not callable(get_spans):
        raise ValueError(
            "get_spans must be a function of the registry span_getters such as "
            f"spacy-padellm.doc_spans.v1, not {get_spans!r}."
        )
    if tokens is not None and (type(tokens) is not int or tokens < LEAST_TOKENS):
        raise ValueError(
            f"window_tokens must be an integer from {LEAST_TOKENS} or null, not {tokens!r}."
        )
    if type(overlap) is not int or overlap < 0:
        raise ValueError(f"window_overlap must be an integer from 0, not {overlap!r}.")
    if tokens is not None and overlap > tokens // 2:
        raise ValueError(
            f"window_overlap must be at most half of window_tokens, {tokens // 2}, not {overlap}."
        )


def window_golds(gold: Gold, windows: DocWindows) -> list[Gold]:
    """Gold answers of the windows of a document. A mention that the edge of a window cuts is not
    asked for in that window, nor counted: windows that overlap hold it whole in another.

    gold (Gold): The document's answers.
    windows (DocWindows): Its windows.
    RETURNS (list[Gold]): The answers of each window, in reading order.
    """
    if windows is None:
        return [gold]
    starts = [start for start, *_ in gold.spans]  # rising
    golds = []
    for first, last in windows:
        spans = gold.spans[bisect_left(starts, first) : bisect_left(starts, last)]
        held = tuple(
            (start - first, end - first, label) for start, end, label in spans if end <= last
        )
        golds.append(Gold(gold.text[first:last], gold.labels, held, gold.complete))
    return golds


def held_nowhere(gold: Gold, golds: Sequence[Gold], windows: DocWindows) -> int:
    """Mentions of a document that no window holds whole, so that they can't be learnt or found.

    gold (Gold): The document's answers.
    golds (Sequence[Gold]): Those of its windows, see `window_golds`.
    windows (DocWindows): The windows.
    RETURNS (int): Their number.
    """
    if windows is None:
        return 0
    held = {
        (start + window.start, end + window.start, label)
        for window, one in zip(windows, golds, strict=True)
        for start, end, label in one.spans
    }
    return len(set(gold.spans) - held)


def _is_short(text: str, limit: int) -> bool:
    """RETURNS (bool): Whether a text can't have more tokens, as it has no more bytes."""
    if len(text) > limit:
        return False
    return text.isascii() or len(text.encode("utf8", "replace")) <= limit


def _unless_whole(text: str, windows: Sequence[Window]) -> DocWindows:
    """RETURNS (DocWindows): As `_trimmed`; None for one that holds all of the text but white space,
    and for a blank text."""
    if len(windows) == 1 and windows[0] == (0, len(text)):
        return None
    trimmed = _trimmed(text, windows)
    held = "".join(text[start:end] for start, end in trimmed[:1])
    return None if len(trimmed) < 2 and held == text.strip() else trimmed


def _trimmed(text: str, windows: Sequence[Window]) -> tuple[Window, ...]:
    """RETURNS (tuple[Window, ...]): Windows without white space at their edges, and without blank
    ones."""
    trimmed = []
    for start, end in windows:
        piece = text[start:end]
        left = len(piece) - len(piece.lstrip())
        if left < len(piece):
            trimmed.append(Window(start + left, start + len(piece.rstrip())))
    return tuple(trimmed)
