"""Write scored spans onto Docs: all of them to doc.spans, those without overlaps to doc.ents."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from spacy.attrs import ENT_IOB, ENT_TYPE
from spacy.tokens import Doc, Span, SpanGroup

from ..documents.spans import ScoredSpan
from .deduplicate import Deduplicate, in_reading_order, resolve_overlaps

BLOCKED = 3  # Token.ent_iob of a token without entity type that must not get one


def annotate(
    doc: Doc,
    scored: Sequence[ScoredSpan],
    deduplicate: Deduplicate,
    spans_key: str,
    threshold: float,
) -> None:
    """Write spans onto a Doc.

    Existing entities and blocked tokens are kept, as by spaCy's own `ner`
    (https://spacy.io/api/doc#set_ents): a new entity that overlaps one of them is written to
    doc.spans, but not to doc.ents.

    doc (Doc): The document.
    scored (Sequence[ScoredSpan]): All spans, in any order.
    deduplicate (Callable): The rule for spans found under several labels.
    spans_key (str): Key of doc.spans; `attrs["scores"]` of the group holds the probabilities, and
        `attrs["text_scores"]`, where mentions are constrained, the probabilities among the
        strings of the text.
    threshold (float): Least probability for doc.ents.
    """
    doc.spans[spans_key] = _span_group(doc, in_reading_order(scored), spans_key)

    candidates = [span for span in deduplicate(scored) if span.score >= threshold]
    blocked: list[Span] = []
    existing = doc.to_array([ENT_TYPE, ENT_IOB])
    if np.count_nonzero(existing):
        is_ent, is_blocked = existing[:, 0] != 0, existing[:, 1] == BLOCKED
        taken = set(np.flatnonzero(is_ent | is_blocked).tolist())
        blocked = [doc[i : i + 1] for i in np.flatnonzero(is_blocked & ~is_ent).tolist()]
        candidates = [span for span in candidates if taken.isdisjoint(range(span.start, span.end))]
    ents = [_to_span(doc, span) for span in resolve_overlaps(candidates)]
    doc.set_ents([*doc.ents, *ents], blocked=blocked, default="outside")


def _span_group(doc: Doc, scored: Sequence[ScoredSpan], key: str) -> SpanGroup:
    attrs = {"scores": np.array([span.score for span in scored], dtype="float32")}
    if any(span.text_score is not None for span in scored):
        text_scores = [math.nan if span.text_score is None else span.text_score for span in scored]
        attrs["text_scores"] = np.array(text_scores, dtype="float32")
    return SpanGroup(doc, name=key, spans=[_to_span(doc, span) for span in scored], attrs=attrs)


def _to_span(doc: Doc, span: ScoredSpan) -> Span:
    return Span(doc, span.start, span.end, label=span.label)
