"""Rules for spans found under several labels, and for spans that overlap."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from operator import attrgetter

from ..documents.spans import ScoredSpan

# A rule: takes the scored spans of one Doc, returns those to keep, in reading order.
Deduplicate = Callable[[Sequence[ScoredSpan]], list[ScoredSpan]]


def make_deduplicate_by_span() -> Deduplicate:
    """RETURNS (Deduplicate): `deduplicate_by_span`, the default rule."""
    return deduplicate_by_span


def make_deduplicate_by_text() -> Deduplicate:
    """RETURNS (Deduplicate): `deduplicate_by_text`, the paper's rule."""
    return deduplicate_by_text


def make_keep_all() -> Deduplicate:
    """RETURNS (Deduplicate): `keep_all`, which removes no label's spans."""
    return keep_all


def deduplicate_by_span(spans: Sequence[ScoredSpan]) -> list[ScoredSpan]:
    """Keep one label for each token span: the label with the highest score. Entities of the same
    spelling at different positions can therefore have different labels.

    spans (Sequence[ScoredSpan]): The spans of one Doc. Of equal scores the first is kept.
    RETURNS (list[ScoredSpan]): The kept spans in reading order.
    """
    return in_reading_order(_best(spans, lambda span: (span.start, span.end)))


def deduplicate_by_text(spans: Sequence[ScoredSpan]) -> list[ScoredSpan]:
    """Keep one label for each mention string of the Doc: the label that gives it the highest score
    anywhere. All other spans of that string are removed. This is how the paper removes duplicate
    mentions (arXiv 2402.04838).

    spans (Sequence[ScoredSpan]): The spans of one Doc. Of equal scores the first is kept.
    RETURNS (list[ScoredSpan]): The kept spans in reading order.
    """
    labels = {span.text: span.label for span in _best(spans, lambda span: span.text)}
    return keep_all([span for span in spans if span.label == labels[span.text]])


def keep_all(spans: Sequence[ScoredSpan]) -> list[ScoredSpan]:
    """Keep each label's spans, where a label has a token span several times only that of the
    highest score.

    spans (Sequence[ScoredSpan]): The spans of one Doc.
    RETURNS (list[ScoredSpan]): The kept spans in reading order.
    """
    return in_reading_order(_best(spans, lambda span: (span.start, span.end, span.label)))


def resolve_overlaps(spans: Sequence[ScoredSpan]) -> list[ScoredSpan]:
    """Select spans of which no two share a token, as `doc.ents` requires: the highest score first,
    then the longest, then the earliest, then the first in input order.

    spans (Sequence[ScoredSpan]): The spans of one Doc.
    RETURNS (list[ScoredSpan]): The kept spans in reading order.
    """
    if all(span.end <= following.start for span, following in pairwise(spans)):
        return list(spans)
    taken = bytearray(max((span.end for span in spans), default=0))
    kept = []
    for span in sorted(spans, key=lambda span: (-span.score, span.start - span.end, span.start)):
        if not any(taken[span.start : span.end]):
            taken[span.start : span.end] = b"\1" * (span.end - span.start)
            kept.append(span)
    return in_reading_order(kept)


def in_reading_order(spans: Iterable[ScoredSpan]) -> list[ScoredSpan]:
    """RETURNS (list[ScoredSpan]): The spans by start, then end; equal ones in input order."""
    return sorted(spans, key=attrgetter("start", "end"))


def _best(spans: Iterable[ScoredSpan], key: Callable[[ScoredSpan], object]) -> Iterable[ScoredSpan]:
    """RETURNS (Iterable[ScoredSpan]): The first span of the highest score for each key."""
    best: dict[object, ScoredSpan] = {}
    for span in spans:
        other = best.setdefault(key(span), span)
        if span.score > other.score:
            best[key(span)] = span
    return best.values()
