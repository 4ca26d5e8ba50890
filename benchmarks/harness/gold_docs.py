"""Records of a dataset as gold Docs."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.util import filter_spans

from spacy_padellm.corpus.gold_doc import make_gold_doc
from spacy_padellm.corpus.record import make_record
from spacy_padellm.training.annotated_labels import ANNOTATED_LABELS, is_annotated_for

from .datasets import Record

NO_SPACE_BEFORE = re.compile(r"""[.,;:!?)\]}%'’”]+|n['’]t|['’](s|m|re|ve|ll|d|S)|\.\.\.""")
NO_SPACE_AFTER = re.compile(r"[(\[{$£€“#@]+")


def to_doc(record: Record, vocab: Any, lang: str) -> Doc:
    """Make a gold document.

    record (Record): Text and spans.
    vocab (Vocab): Vocabulary of the document.
    lang (str): spaCy's code of the language.
    RETURNS (Doc): In the source's own tokens, with one space between them (Chinese: characters);
        where spans do not lie on these, in the tokens of spaCy's tokenizer, split at spans.
    RAISES (ValueError): An empty text, or a span that is not within it.
    """
    text = record["text"]
    spans = [(span["start"], span["end"], span["label"]) for span in record["spans"]]
    if lang == "zh":
        words, spaces = list(text), [False] * len(text)
    else:
        words = text.split(" ")
        spaces = [True] * (len(words) - 1) + [False]
    if all(words):
        doc = Doc(vocab, words=words, spaces=spaces)
        char_spans = [doc.char_span(start, end, label=label) for start, end, label in spans]
        ents = [span for span in char_spans if span is not None]
        if len(ents) == len(spans):
            doc.set_ents(filter_spans(ents), default="outside")
            return doc
    gold = make_gold_doc(_blank(lang), make_record(text, spans), "gold").doc
    doc = Doc(vocab, words=[t.text for t in gold], spaces=[bool(t.whitespace_) for t in gold])
    doc.set_ents([Span(doc, e.start, e.end, e.label_) for e in gold.ents], default="outside")
    return doc


def to_adapter_doc(
    record: Record,
    labels: Mapping[str, str],
    vocab: Any,
    *,
    lang: str = "en",
    natural: bool = False,
) -> Doc:
    """Make a gold document as the shipped adapter's corpus has them.

    record (Record): Text and spans.
    labels (Mapping[str, str]): Labels of the record → labels of the document. Spans of other
        labels are left out.
    vocab (Vocab): Vocabulary of the document.
    lang (str): spaCy's code of the language.
    natural (bool): Whether to close the spaces that tokenization opened before punctuation.
    RETURNS (Doc): With the labels that the dataset is annotated for. If a space follows each of
        the source's tokens, one follows the last too.
    """
    spans = [
        {**span, "label": labels[span["label"]]}
        for span in record["spans"]
        if span["label"] in labels
    ]
    source = to_doc({**record, "spans": spans}, vocab, lang)
    words = [token.text for token in source]
    spaces = [bool(token.whitespace_) for token in source]
    if all(spaces[:-1]):
        spaces = natural_spaces(words) if natural else [True] * len(words)
    doc = Doc(vocab, words=words, spaces=spaces)
    doc.set_ents([Span(doc, e.start, e.end, e.label_) for e in source.ents])
    doc.user_data[ANNOTATED_LABELS] = sorted(set(labels.values()))
    return doc


def natural_spaces(words: Sequence[str]) -> list[bool]:
    """RETURNS (list[bool]): Whether a space follows each word in usual writing."""
    spaces = []
    open_quote = False
    for i, word in enumerate(words):
        after = words[i + 1] if i + 1 < len(words) else ""
        space = not NO_SPACE_BEFORE.fullmatch(after) and not NO_SPACE_AFTER.fullmatch(word)
        if word == '"':
            open_quote = not open_quote
            space = space and not open_quote
        if after == '"' and open_quote:
            space = False
        spaces.append(space)
    return spaces


def without_annotation(doc: Doc, vocab: Any = None) -> Doc:
    """RETURNS (Doc): The same tokens without entities, in the document's vocabulary or another."""
    return Doc(
        vocab or doc.vocab,
        words=[token.text for token in doc],
        spaces=[bool(token.whitespace_) for token in doc],
    )


def drop_unannotated(doc: Doc, gold: Doc) -> Doc:
    """RETURNS (Doc): The document without entities of labels that the gold one is not annotated
    for."""
    doc.set_ents([ent for ent in doc.ents if is_annotated_for(gold, ent.label_)])
    return doc


@cache
def _blank(lang: str) -> Language:
    return spacy.blank(lang)
