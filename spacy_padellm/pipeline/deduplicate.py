"""Rules for mentions that several labels claim, and for spans that overlap."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from operator import attrgetter

from ..documents.spans import ScoredSpan

# Takes the scored spans of one Doc, returns those to keep in reading order.
Deduplicate = Callable[[Sequence[ScoredSpan]], list[ScoredSpan]]


def make_deduplicate_by_span() -> Deduplicate:
    """RETURNS (Deduplicate): `deduplicate_by_span`, the default rule."""
    return deduplicate_by_span


def make_deduplicate_by_text() -> Deduplicate:
    """RETURNS (Deduplicate): `deduplicate_by_text`, the paper's rule."""
    return deduplicate_by_text


def make_keep_all() -> Deduplicate:
    """RETURNS (Deduplicate): `keep_all`, which leaves every label its spans."""
    return keep_all


def deduplicate_by_span(spans: Sequence[ScoredSpan]) -> list[ScoredSpan]:
    """Keep one label for each token span: the one of the highest score. Two entities of one
    spelling at two places of the text may so differ in label.

    spans (Sequence[ScoredSpan]): The spans of one Doc. Of equal scores the first one wins.
    RETURNS (list[ScoredSpan]): The kept spans in reading order.
    """
    return in_reading_order(_best(spans, lambda span: (span.start, span.end)))


def deduplicate_by_text(spans: Sequence[ScoredSpan]) -> list[ScoredSpan]:
    """Keep one label for each mention string of the Doc: the one that gave it the highest score at
    any place. All spans of that string under other labels go, wherever they are. This is how the
    paper removes duplicate mentions (arXiv 2402.04838).

    spans (Sequence[ScoredSpan]): The spans of one Doc. Of equal scores the first one wins.
    RETURNS (list[ScoredSpan]): The kept spans in reading order.
    """
    labels = {span.text: span.label for span in _best(spans, lambda span: span.text)}
    return keep_all([span for span in spans if span.label == labels[span.text]])


def keep_all(spans: Sequence[ScoredSpan]) -> list[ScoredSpan]:
    """Keep each label's spans. One label's repeats of a token span are still one span, of the
    highest score.

    spans (Sequence[ScoredSpan]): The spans of one Doc.
    RETURNS (list[ScoredSpan]): The kept spans in reading order.
    """
    return in_reading_order(_best(spans, lambda span: (span.start, span.end, span.label)))


def resolve_overlaps(spans: Sequence[ScoredSpan]) -> list[ScoredSpan]:
    """Keep spans of which no two share a token, as `doc.ents` asks: the highest score first, then
    the longest, then the earliest, then the first one given.

    spans (Sequence[ScoredSpan]): The spans of one Doc.
    RETURNS (list[ScoredSpan]): The kept spans in reading order.
    """
    if all(one.end <= other.start for one, other in pairwise(spans)):
        return list(spans)
    taken = bytearray(max((span.end for span in spans), default=0))
    kept = []
    for span in sorted(spans, key=lambda span: (-span.score, span.start - span.end, span.start)):
        if not any(taken[span.start : span.end]):
            taken[span.start : span.end] = b"\1" * (span.end - span.start)
            kept.append(span)
    return in_reading_order(kept)


def in_reading_order(spans: Iterable[ScoredSpan]) -> list[ScoredSpan]:
    """RETURNS (list[ScoredSpan]): The spans by start, shorter before longer; others as given."""
    return sorted(spans, key=attrgetter("start", "end"))


def _best(spans: Iterable[ScoredSpan], key: Callable[[ScoredSpan], object]) -> Iterable[ScoredSpan]:
    """RETURNS (Iterable[ScoredSpan]): The first span of the highest score for each key."""
    best: dict[object, ScoredSpan] = {}
    for span in spans:
        other = best.setdefault(key(span), span)
        if span.score > other.score:
            best[key(span)] = span
    return best.values()
