"""Records of token-and-tag files, by spaCy's own converters (`spacy.training.converters`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from typing import NamedTuple

from spacy.tokens import Doc

from .record import BadRecord, GoldSpan, Record, make_record, short_repr

# IOB, IOB2, BILUO, BIOES and BMES; spaCy's converters read the first two.
TAG = re.compile(r"O|[BIMELUS]-\S+")
BEGINNINGS = ("B-", "S-", "U-")
DOCUMENT = "-DOCSTART-"
# Sentences per call of a converter: each call makes a Vocab.
BLOCK = 1000

Line = tuple[int, str | BadRecord]


class Sentence(NamedTuple):
    """A sentence of a file: number of its first line, words, and the IOB2 tag of each word."""

    line: int
    words: list[str]
    tags: list[str]


def read_conll(lines: Iterable[Line], joiner: str) -> Iterator[tuple[int, Record | BadRecord]]:
    """Read sentences with one token per line, its tag in the last column, and a blank line between
    sentences.

    Each sentence is a document, as in the paper; -DOCSTART- lines separate sentences.

    lines (Iterable[Line]): Numbered lines.
    joiner (str): Separator of the tokens in the text: " ", or "" for Chinese.
    YIELDS (tuple[int, Record | BadRecord]): Number of the first line of a sentence and its record,
        or number of a bad line and the error. A sentence with a bad line has no record.
    """
    yield from _records(_conll_sentences(lines), _convert_conll, joiner)


def read_iob(lines: Iterable[Line], joiner: str) -> Iterator[tuple[int, Record | BadRecord]]:
    """Read one sentence per line, with tokens such as `London|B-GPE` or `London|NNP|B-GPE`.

    lines (Iterable[Line]): Numbered lines.
    joiner (str): Separator of the tokens in the text.
    YIELDS (tuple[int, Record | BadRecord]): Line number, and the record or the error.
    """
    yield from _records(_iob_sentences(lines), _convert_iob, joiner)


def _conll_sentences(lines: Iterable[Line]) -> Iterator[Sentence | tuple[int, BadRecord]]:
    for is_separator, group in groupby(lines, _is_separator):
        if not is_separator:
            yield _conll_sentence(group)


def _is_separator(line: Line) -> bool:
    text = line[1]
    return isinstance(text, str) and (not text.strip() or text.split()[0] == DOCUMENT)


def _conll_sentence(lines: Iterable[Line]) -> Sentence | tuple[int, BadRecord]:
    rows: list[tuple[int, list[str]]] = []
    for number, line in lines:
        try:
            if isinstance(line, BadRecord):
                raise line
            rows.append((number, line.split()))
            _check_columns(rows)
        except BadRecord as error:
            return number, error
    tags = [_iob2(row[-1]) for _, row in rows]
    return Sentence(rows[0][0], [row[0] for _, row in rows], tags)


def _check_columns(rows: list[tuple[int, list[str]]]) -> None:
    row, first = rows[-1][1], rows[0][1]
    if len(row) < 2:
        raise BadRecord(f"a token and its tag are needed, not {short_repr(' '.join(row))}")
    if len(row) != len(first):
        raise BadRecord(
            f"{len(row)} columns, and its sentence started with {len(first)}: "
            f"{short_repr(' '.join(row))}"
        )
    _check_tag(row[-1])


def _iob_sentences(lines: Iterable[Line]) -> Iterator[Sentence | tuple[int, BadRecord]]:
    for number, line in lines:
        if isinstance(line, str) and not line.strip():
            continue
        try:
            if isinstance(line, BadRecord):
                raise line
            fields = [token.split("|") for token in line.split()]
            for token in fields:
                if len(token) not in (2, 3) or len(token) != len(fields[0]) or not token[0]:
                    raise BadRecord(
                        "expected token|tag or token|part-of-speech|tag in the whole line, not "
                        f"{short_repr('|'.join(token))}"
                    )
                _check_tag(token[-1])
        except BadRecord as error:
            yield number, error
            continue
        yield Sentence(number, [t[0] for t in fields], [_iob2(t[-1]) for t in fields])


def _check_tag(tag: str) -> None:
    if not TAG.fullmatch(tag):
        raise BadRecord(
            f"{short_repr(tag)} is no tag: expected O, or B, I, L, U, E, S or M with a label, such "
            "as B-PER"
        )


def _iob2(tag: str) -> str:
    if tag == "O":
        return tag
    return f"{'B' if tag.startswith(BEGINNINGS) else 'I'}-{tag[2:]}"


def _records(
    sentences: Iterator[Sentence | tuple[int, BadRecord]],
    convert: Callable[[list[Sentence]], list[Doc]],
    joiner: str,
) -> Iterator[tuple[int, Record | BadRecord]]:
    while block := list(islice(sentences, BLOCK)):
        valid = [sentence for sentence in block if isinstance(sentence, Sentence)]
        docs = iter(convert(valid) if valid else [])
        for sentence in block:
            if not isinstance(sentence, Sentence):
                yield sentence
                continue
            try:
                yield sentence.line, _record(next(docs), joiner)
            except BadRecord as error:
                yield sentence.line, error


def _convert_conll(sentences: list[Sentence]) -> list[Doc]:
    from spacy.training.converters import conll_ner_to_docs

    rows = "\n\n".join(
        f"{DOCUMENT} -X- O O\n\n"
        + "\n".join(f"{word} {tag}" for word, tag in zip(s.words, s.tags, strict=True))
        for s in sentences
    )
    return list(conll_ner_to_docs(rows, n_sents=0, no_print=True))


def _convert_iob(sentences: list[Sentence]) -> list[Doc]:
    from spacy.training.converters import iob_to_docs

    rows = "\n".join(
        " ".join(f"{word}|{tag}" for word, tag in zip(s.words, s.tags, strict=True))
        for s in sentences
    )
    return list(iob_to_docs(rows, n_sents=1, no_print=True))


def _record(doc: Doc, joiner: str) -> Record:
    """RETURNS (Record): The joined words, and the character spans of the entities."""
    starts, offset = [], 0
    for token in doc:
        starts.append(offset)
        offset += len(token) + len(joiner)
    spans = [
        GoldSpan(starts[ent.start], starts[ent.end - 1] + len(doc[ent.end - 1]), ent.label_)
        for ent in doc.ents
    ]
    return make_record(joiner.join(token.text for token in doc), spans)
