"""Gold Docs of records: the tokens of a pipeline, split at the edges of mentions."""

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

    doc (Doc): The document, with all mentions in doc.spans and those without overlaps in doc.ents.
    n_split (int): Tokens of the tokenizer that were split.
    n_overlapping (int): Mentions that are not in doc.ents, as they overlap others.
    """

    doc: Doc
    n_split: int
    n_overlapping: int


def make_gold_doc(nlp: Language, record: Record, spans_key: str) -> GoldDoc:
    """Make a Doc with the exact text of a record and all its mentions.

    doc.ents can't hold overlapping spans: `spacy.util.filter_spans` selects the longest, then the
    first. All other tokens are annotated as outside of entities ("O").

    nlp (Language): The pipeline whose tokenizer is used. A token in which a mention starts or ends
        is split there, so that each mention is a span of whole tokens.
    record (Record): Text and mentions.
    spans_key (str): Key of doc.spans for all mentions, including overlapping ones.
    RETURNS (GoldDoc): The document.
    RAISES (BadRecord): A text that the tokenizer rejects or changes.
    """
    try:
        doc = nlp.make_doc(record.text)
    except ValueError as error:  # a text above nlp.max_length
        raise BadRecord(f"spaCy's tokenizer rejects the text: {error}") from error
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
    """RETURNS (dict[int, list[int]]): For the index of each token in which mentions start or end,
    the character offsets within the token, ascending."""
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
