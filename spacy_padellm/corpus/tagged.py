"""Token-and-tag files into records, through spaCy's own converters (spacy.training.converters)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from typing import NamedTuple

from spacy.tokens import Doc

from .record import BadRecord, GoldSpan, Record, make_record, shown

# IOB, IOB2, BILUO, BIOES and BMES; spaCy's converters know the first two.
TAG = re.compile(r"O|[BIMELUS]-\S+")
BEGINNINGS = ("B-", "S-", "U-")
DOCUMENT = "-DOCSTART-"
# Each call of a converter makes a Vocab.
BLOCK = 1000

Line = tuple[int, str | BadRecord]
Converter = Callable[..., Iterable[Doc]]


class Sentence(NamedTuple):
    """A sentence of a file: the line it starts on, its words, and a tag of each (IOB2)."""

    line: int
    words: list[str]
    tags: list[str]


def read_conll(lines: Iterable[Line], joiner: str) -> Iterator[tuple[int, Record | BadRecord]]:
    """Sentences with a token a line, its tag in the last column, and a blank line behind each.

    Each sentence is a document, as in the paper; lines that say -DOCSTART- only part them.

    lines (Iterable[Line]): Numbered lines.
    joiner (str): What stands between two tokens of the text: " ", or "" for Chinese.
    YIELDS (tuple[int, Record | BadRecord]): The line a sentence starts on and its record, or a bad
        line's number and what is wrong. A sentence with a bad line gives no record.
    """
    yield from _converted(_conll_sentences(lines), _through_conll, joiner)


def read_iob(lines: Iterable[Line], joiner: str) -> Iterator[tuple[int, Record | BadRecord]]:
    """Sentences of one line each, of tokens such as `London|B-GPE` or `London|NNP|B-GPE`.

    lines (Iterable[Line]): Numbered lines.
    joiner (str): What stands between two tokens of the text.
    YIELDS (tuple[int, Record | BadRecord]): Line number, and the record or what is wrong.
    """
    yield from _converted(_iob_sentences(lines), _through_iob, joiner)


def _conll_sentences(lines: Iterable[Line]) -> Iterator[Sentence | tuple[int, BadRecord]]:
    for is_between, group in groupby(lines, _is_between):
        if not is_between:
            yield _conll_sentence(group)


def _is_between(line: Line) -> bool:
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
        raise BadRecord(f"a token and its tag are needed, not {shown(' '.join(row))}")
    if len(row) != len(first):
        raise BadRecord(
            f"{len(row)} columns, and its sentence started with {len(first)}: "
            f"{shown(' '.join(row))}"
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
                        "expected token|tag or token|part-of-speech|tag all along the line, not "
                        f"{shown('|'.join(token))}"
                    )
                _check_tag(token[-1])
        except BadRecord as error:
            yield number, error
            continue
        yield Sentence(number, [t[0] for t in fields], [_iob2(t[-1]) for t in fields])


def _check_tag(tag: str) -> None:
    if not TAG.fullmatch(tag):
        raise BadRecord(
            f"{shown(tag)} is no tag: expected O, or B, I, L, U, E, S or M with a label, such as "
            "B-PER"
        )


def _iob2(tag: str) -> str:
    if tag == "O":
        return tag
    return f"{'B' if tag.startswith(BEGINNINGS) else 'I'}-{tag[2:]}"


def _converted(
    sentences: Iterator[Sentence | tuple[int, BadRecord]],
    convert: Callable[[list[Sentence]], list[Doc]],
    joiner: str,
) -> Iterator[tuple[int, Record | BadRecord]]:
    while block := list(islice(sentences, BLOCK)):
        whole = [sentence for sentence in block if isinstance(sentence, Sentence)]
        docs = iter(convert(whole) if whole else [])
        for sentence in block:
            if not isinstance(sentence, Sentence):
                yield sentence
                continue
            try:
                yield sentence.line, _record(next(docs), joiner)
            except BadRecord as error:
                yield sentence.line, error


def _through_conll(sentences: list[Sentence]) -> list[Doc]:
    from spacy.training.converters import conll_ner_to_docs

    rows = "\n\n".join(
        f"{DOCUMENT} -X- O O\n\n"
        + "\n".join(f"{word} {tag}" for word, tag in zip(s.words, s.tags, strict=True))
        for s in sentences
    )
    return list(conll_ner_to_docs(rows, n_sents=0, no_print=True))


def _through_iob(sentences: list[Sentence]) -> list[Doc]:
    from spacy.training.converters import iob_to_docs

    rows = "\n".join(
        " ".join(f"{word}|{tag}" for word, tag in zip(s.words, s.tags, strict=True))
        for s in sentences
    )
    return list(iob_to_docs(rows, n_sents=1, no_print=True))


def _record(doc: Doc, joiner: str) -> Record:
    """RETURNS (Record): The text that the words give, and the entities' characters in it."""
    starts, place = [], 0
    for token in doc:
        starts.append(place)
        place += len(token) + len(joiner)
    spans = [
        GoldSpan(starts[ent.start], starts[ent.end - 1] + len(doc[ent.end - 1]), ent.label_)
        for ent in doc.ents
    ]
    return make_record(joiner.join(token.text for token in doc), spans)
