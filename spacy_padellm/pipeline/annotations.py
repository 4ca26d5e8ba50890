"""Scored spans onto Docs: doc.spans for all of them, doc.ents for those that stand."""

from __future__ import annotations

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

    Entities that the Doc has already stay, and so do blocked tokens, as under spaCy's own `ner`
    (https://spacy.io/api/doc#set_ents): a new entity that overlaps one of them is left out of
    doc.ents, and is in doc.spans all the same.

    doc (Doc): The document.
    scored (Sequence[ScoredSpan]): Every span that was found.
    deduplicate (Callable): The rule for spans found under several labels.
    spans_key (str): Key of doc.spans; `attrs["scores"]` of the group holds the probabilities, and
        `attrs["text_scores"]`, where mentions are constrained, those among the text's own strings.
    threshold (float): Least probability for doc.ents.
    """
    order = in_reading_order(scored)
    made: dict[tuple[int, int, str], Span] = {}

    def span_of(one: ScoredSpan) -> Span:
        key = (one.start, one.end, one.label)
        if key not in made:
            made[key] = Span(doc, one.start, one.end, label=one.label)
        return made[key]

    spans = [span_of(one) for one in order]
    scores = np.array([span.score for span in order], dtype="float32")
    attrs = {"scores": scores}
    if any(span.text_score is not None for span in order):
        in_text = [float("nan") if span.text_score is None else span.text_score for span in order]
        attrs["text_scores"] = np.array(in_text, dtype="float32")
    doc.spans[spans_key] = SpanGroup(doc, name=spans_key, spans=spans, attrs=attrs)

    free = [span for span in deduplicate(scored) if span.score >= threshold]
    blocked: list[Span] = []
    known = doc.to_array([ENT_TYPE, ENT_IOB])
    if np.count_nonzero(known):
        is_ent, is_blocked = known[:, 0] != 0, known[:, 1] == BLOCKED
        taken = set(np.flatnonzero(is_ent | is_blocked).tolist())
        blocked = [doc[i : i + 1] for i in np.flatnonzero(is_blocked & ~is_ent).tolist()]
        free = [span for span in free if taken.isdisjoint(range(span.start, span.end))]
    ents = [span_of(one) for one in resolve_overlaps(free)]
    doc.set_ents([*doc.ents, *ents], blocked=blocked, default="outside")
