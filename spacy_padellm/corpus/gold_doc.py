"""Records into gold Docs: the tokens of a pipeline, split where a mention starts or ends in one."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.util import filter_spans

from ..training.annotated_labels import ANNOTATED_LABELS
from .record import BadRecord, Record


@dataclass(frozen=True)
class GoldDoc:
    """A gold document.

    doc (Doc): All mentions are in doc.spans, those that stand in doc.ents too.
    n_split (int): Tokens of the tokenizer that were split.
    n_overlapping (int): Mentions that are not in doc.ents as they overlap others.
    """

    doc: Doc
    n_split: int
    n_overlapping: int


def make_gold_doc(nlp: Language, record: Record, spans_key: str) -> GoldDoc:
    """A Doc with the record's text, character by character, and all its mentions.

    doc.ents holds no overlaps: of those, `spacy.util.filter_spans` takes the longest, then the
    first. Tokens without an entity are annotated as such ("O").

    nlp (Language): Its tokenizer makes the tokens. One in which a mention starts or ends is split
        there, so that each mention is a span of whole tokens.
    record (Record): Text and mentions.
    spans_key (str): Key of doc.spans for all mentions, the overlapping ones too.
    RETURNS (GoldDoc): The document.
    RAISES (BadRecord): A text that the tokenizer does not take or changes.
    """
    try:
        doc = nlp.make_doc(record.text)
    except ValueError as error:  # a text above nlp.max_length
        raise BadRecord(f"spaCy's tokenizer does not take the text: {error}") from error
    cuts = _cuts(doc, record)
    if cuts:
        doc = _split(doc, cuts)
    if doc.text != record.text:
        raise BadRecord(f"the tokenizer of language {nlp.lang!r} changes the text")
    spans = [_span(doc, *span) for span in record.spans]
    ents = filter_spans(spans)
    doc.set_ents(ents)
    doc.spans[spans_key] = spans
    if record.labels is not None:
        doc.user_data[ANNOTATED_LABELS] = list(record.labels)
    return GoldDoc(doc, len(cuts), len(spans) - len(ents))


def _span(doc: Doc, start: int, end: int, label: str) -> Span:
    span = doc.char_span(start, end, label=label)
    if span is None:
        raise RuntimeError(f"Tokens were not split at {start} and {end}: {doc.text[:60]!r}.")
    return span


def _cuts(doc: Doc, record: Record) -> dict[int, list[int]]:
    """RETURNS (dict[int, list[int]]): Where mentions start or end in tokens: for the index of a
    token, the offsets in it, rising."""
    starts = [token.idx for token in doc]
    cuts: dict[int, list[int]] = {}
    for offset in sorted({offset for span in record.spans for offset in span[:2]}):
        i = bisect_right(starts, offset) - 1
        if starts[i] < offset < starts[i] + len(doc[i]):
            cuts.setdefault(i, []).append(offset - starts[i])
    return cuts


def _split(doc: Doc, cuts: dict[int, list[int]]) -> Doc:
    words: list[str] = []
    spaces: list[bool] = []
    for token in doc:
        edges = [0, *cuts.get(token.i, ()), len(token)]
        pieces = [token.text[a:b] for a, b in pairwise(edges)]
        words += pieces
        spaces += [False] * (len(pieces) - 1) + [bool(token.whitespace_)]
    return Doc(doc.vocab, words=words, spaces=spaces)
