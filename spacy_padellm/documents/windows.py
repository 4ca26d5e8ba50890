"""Windows: the parts of long documents that go through the model separately."""

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

MIN_WINDOW_TOKENS = 16  # one character may be several tokens
MAX_COUNTED = 16  # characters per token of the limit; a longer text is cut without counting tokens


class Window(NamedTuple):
    """A part of a document, without white space at its edges.

    start (int): Start character in `doc.text`.
    end (int): End character.
    """

    start: int
    end: int


# The windows of a document in reading order; None for a document that is processed as a whole.
DocWindows = tuple[Window, ...] | None


class WindowedDocs(NamedTuple):
    """The windows of a batch of documents.

    windows (list[DocWindows]): The windows of each document.
    ids (list[list[int] | None]): Token ids of the documents that were tokenised as a whole to count
        their tokens.
    """

    windows: list[DocWindows]
    ids: list[list[int] | None]


class Windows:
    """Splits documents into windows.

    get_spans (SpanGetter): Gives the parts of documents that are processed separately.
    tokens (int | None): Maximum number of model tokens of a window: a longer part is split into
        several. None for as many as the model has positions for.
    overlap (int): Approximate number of model tokens that two such windows share.
    """

    def __init__(
        self, get_spans: SpanGetter = doc_spans, tokens: int | None = None, overlap: int = 0
    ):
        check_windows(get_spans, tokens, overlap)
        self.get_spans = get_spans
        self.tokens = tokens
        self.overlap = overlap

    def split(self, docs: Sequence[Doc], codec: Codec, max_tokens: int | None) -> WindowedDocs:
        """Split documents into windows, each document independently of the others.

        docs (Sequence[Doc]): The documents.
        codec (Codec): The tokenizer of the model.
        max_tokens (int | None): Maximum number of tokens of a text that the model has positions
            for, None for any number.
        RETURNS (WindowedDocs): The windows of each document.
        RAISES (ValueError): Spans from `get_spans` that are not of the documents.
        """
        limits = [bound for bound in (self.tokens, max_tokens) if bound is not None]
        limit = max(min(limits), MIN_WINDOW_TOKENS) if limits else None
        texts = [doc.text for doc in docs]
        if self.get_spans is doc_spans:
            parts = [[Window(0, len(text))] for text in texts]
        else:
            parts = self._parts(docs)
        long, ids = _long_parts(texts, parts, codec, limit)
        windows: list[DocWindows] = []
        for i, (doc, text) in enumerate(zip(docs, texts, strict=True)):
            if limit is None or not any((i, part) in long for part in parts[i]):
                windows.append(_unless_whole(text, parts[i]))
                continue
            split: list[Window] = []
            bounds, overlap = token_bounds(doc), min(self.overlap, limit // 2)
            for part in parts[i]:
                if (i, part) in long:
                    ranges = cut(text, bounds, part, codec, limit, overlap, max_tokens)
                    split += [Window(*char_range) for char_range in ranges]
                else:
                    split.append(part)
            windows.append(_trimmed(text, split))
        return WindowedDocs(windows, ids)

    def _parts(self, docs: Sequence[Doc]) -> list[list[Window]]:
        """RETURNS (list[list[Window]]): The spans of `get_spans`, sorted, without duplicates."""
        groups = list(self.get_spans(docs))
        if len(groups) != len(docs):
            raise ValueError(
                f"get_spans gave spans for {len(groups)} documents, and was called with "
                f"{len(docs)}. It must give one list of spans per document."
            )
        parts = []
        for doc, spans in zip(docs, groups, strict=True):
            if any(span.doc is not doc for span in spans):
                raise ValueError(f"get_spans gave a span of another document for {doc.text[:60]!r}")
            parts.append(sorted({Window(span.start_char, span.end_char) for span in spans}))
        return parts


def _long_parts(
    texts: Sequence[str], parts: Sequence[Sequence[Window]], codec: Codec, limit: int | None
) -> tuple[set[tuple[int, Window]], list[list[int] | None]]:
    """Find the parts with more tokens than a window may have.

    A part is tokenised only where its length leaves open whether it fits: not if its bytes are
    within the limit, nor if it has so many characters that it is cut anyway.

    RETURNS (tuple[set[tuple[int, Window]], list[list[int] | None]]): Pairs of the index of a
        document and a part that is too long, or too long to be counted; token ids of the documents
        that were tokenised as a whole.
    """
    long: set[tuple[int, Window]] = set()
    ids: list[list[int] | None] = [None] * len(texts)
    if limit is None:
        return long, ids
    unsure = []
    for i, windows in enumerate(parts):
        for part in windows:
            text = texts[i] if part == (0, len(texts[i])) else texts[i][part.start : part.end]
            if len(text) > MAX_COUNTED * limit:
                long.add((i, part))
            elif not _is_short(text, limit):
                unsure.append((i, part, text))
    encoded = codec.encode_texts([text for *_, text in unsure])
    for (i, part, text), text_ids in zip(unsure, encoded, strict=True):
        if len(text_ids) > limit:
            long.add((i, part))
        elif text is texts[i]:
            ids[i] = text_ids
    return long, ids


def check_windows(get_spans: Any, tokens: Any, overlap: Any) -> None:
    """Check the settings of windows; the arguments are those of Windows.

    RAISES (ValueError): The first invalid setting, with its value and the valid ones.
    """
    if not callable(get_spans):
        raise ValueError(
            "get_spans must be a function of the registry span_getters such as "
            f"spacy-padellm.doc_spans.v1, not {get_spans!r}."
        )
    if tokens is not None and (type(tokens) is not int or tokens < MIN_WINDOW_TOKENS):
        raise ValueError(
            f"window_tokens must be an integer from {MIN_WINDOW_TOKENS} or null, not {tokens!r}."
        )
    if type(overlap) is not int or overlap < 0:
        raise ValueError(f"window_overlap must be an integer from 0, not {overlap!r}.")
    if tokens is not None and overlap > tokens // 2:
        raise ValueError(
            f"window_overlap must be at most half of window_tokens, {tokens // 2}, not {overlap}."
        )


def window_golds(gold: Gold, windows: DocWindows) -> list[Gold]:
    """Split the gold annotations of a document into those of its windows.

    A mention that an edge of a window cuts is not in that window's gold, nor in its count:
    overlapping windows have it whole in another one.

    gold (Gold): The document's annotations.
    windows (DocWindows): The document's windows.
    RETURNS (list[Gold]): The annotations of each window, in reading order.
    """
    if windows is None:
        return [gold]
    starts = [start for start, *_ in gold.spans]  # in ascending order
    golds = []
    for first, last in windows:
        spans = gold.spans[bisect_left(starts, first) : bisect_left(starts, last)]
        contained = tuple(
            (start - first, end - first, label) for start, end, label in spans if end <= last
        )
        golds.append(Gold(gold.text[first:last], gold.labels, contained, gold.complete))
    return golds


def count_uncovered(gold: Gold, golds: Sequence[Gold], windows: DocWindows) -> int:
    """Count the mentions that no window contains as a whole: they can't be trained or predicted.

    gold (Gold): The document's annotations.
    golds (Sequence[Gold]): The annotations of its windows, see `window_golds`.
    windows (DocWindows): The windows.
    RETURNS (int): The number of mentions.
    """
    if windows is None:
        return 0
    covered = {
        (start + window.start, end + window.start, label)
        for window, window_gold in zip(windows, golds, strict=True)
        for start, end, label in window_gold.spans
    }
    return len(set(gold.spans) - covered)


def _is_short(text: str, limit: int) -> bool:
    """RETURNS (bool): Whether a text has at most `limit` bytes, and so at most `limit` tokens."""
    if len(text) > limit:
        return False
    return text.isascii() or len(text.encode("utf8", "replace")) <= limit


def _unless_whole(text: str, windows: Sequence[Window]) -> DocWindows:
    """RETURNS (DocWindows): As `_trimmed`; None for one window with all of the text except white
    space, and for a blank text."""
    if len(windows) == 1 and windows[0] == (0, len(text)):
        return None
    trimmed = _trimmed(text, windows)
    first = "".join(text[start:end] for start, end in trimmed[:1])
    return None if len(trimmed) < 2 and first == text.strip() else trimmed


def _trimmed(text: str, windows: Sequence[Window]) -> tuple[Window, ...]:
    """RETURNS (tuple[Window, ...]): The windows without white space at their edges, and without
    blank windows."""
    trimmed = []
    for start, end in windows:
        window_text = text[start:end]
        left = len(window_text) - len(window_text.lstrip())
        if left < len(window_text):
            trimmed.append(Window(start + left, start + len(window_text.rstrip())))
    return tuple(trimmed)
