"""The way from a corpus to .spacy files, in constant memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from .formats import SUFFIX, Source
from .gold_doc import make_gold_doc
from .lines import Advance
from .record import BadRecord
from .shards import ShardWriter

# Documents after which strings and lexemes that only they had are freed.
ZONE_DOCS = 1000


class BadLine(ValueError):
    """A line that stops a conversion."""


@dataclass
class Conversion:
    """What became of a corpus.

    files (list[Path]): What was written.
    documents (int): Documents in it.
    labels (Counter[str]): Mentions of each label in doc.ents.
    overlapping (int): Mentions that are in doc.spans only, as they overlap others.
    split_tokens (int): Tokens that were split as a mention starts or ends in them.
    trimmed (int): Mentions that had white space at their edges, which was left out.
    bad (int): Bad lines that were passed over.
    unread (set[str]): Keys that were not read.
    unannotated (int): Documents with tokens of which it is unknown whether they are in an entity.
    """

    files: list[Path] = field(default_factory=list)
    documents: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    overlapping: int = 0
    split_tokens: int = 0
    trimmed: int = 0
    bad: int = 0
    unread: set[str] = field(default_factory=set)
    unannotated: int = 0

    def count(self, doc: Doc) -> None:
        """Count a document that is written."""
        self.documents += 1
        self.labels.update(ent.label_ for ent in doc.ents)
        self.unannotated += not doc.has_annotation("ENT_IOB", require_complete=True)


def convert_source(
    source: Source,
    nlp: Language,
    shards: ShardWriter,
    *,
    spans_key: str = "gold",
    pass_over: Callable[[str], None] | None = None,
    advance: Advance = lambda n_bytes: None,
) -> Conversion:
    """Write a corpus as gold Docs. Memory depends on the size of one output file only.

    source (Source): The corpus.
    nlp (Language): Its tokenizer makes the tokens.
    shards (ShardWriter): Where to; entered by the caller.
    spans_key (str): Key of doc.spans for all mentions, the overlapping ones too.
    pass_over (Callable[[str], None] | None): Called with each bad line, which is left out; None
        stops at the first.
    advance (Advance): Called with how many bytes were read.
    RETURNS (Conversion): What was done.
    RAISES (BadLine): A bad line, with its file, number and reason.
    RAISES (ValueError): A file that can't be read to its end, or that has no documents.
    """
    done = Conversion()
    entries = source.entries(advance)
    for first in entries:
        with nlp.memory_zone():
            for line, record in chain([first], islice(entries, ZONE_DOCS - 1)):
                try:
                    if isinstance(record, BadRecord):
                        raise record
                    gold = make_gold_doc(nlp, record, spans_key)
                except BadRecord as error:
                    _fail(f"{source.path}, line {line}: {error}", done, pass_over)
                    continue
                shards.add(gold.doc)
                done.count(gold.doc)
                done.overlapping += gold.n_overlapping
                done.split_tokens += gold.n_split
                done.trimmed += record.n_trimmed
                done.unread.update(record.unread)
    return _finished(done, shards, source.path)


def pass_docs(
    path: Path, shards: ShardWriter, advance: Advance = lambda n_bytes: None
) -> Conversion:
    """Write Docs as they are.

    path (Path): A .spacy file, or a folder of them.
    shards (ShardWriter): Where to; entered by the caller.
    advance (Advance): Called with how many bytes were read.
    RETURNS (Conversion): What was done.
    RAISES (ValueError): A file that holds no Docs; no documents.
    """
    done = Conversion()
    for file in doc_files(path):
        for doc in _docs(file):
            shards.add(doc)
            done.count(doc)
        advance(file.stat().st_size)
    return _finished(done, shards, path)


def doc_files(path: Path) -> list[Path]:
    """RETURNS (list[Path]): The .spacy files that a path stands for, in spaCy's order."""
    if not path.is_dir():
        return [path]
    return sorted(path.rglob(f"*{SUFFIX}"))


def _docs(file: Path) -> Iterator[Doc]:
    try:
        docs = DocBin().from_disk(file)
    except Exception as error:  # zlib's, msgpack's and numpy's own, by where the damage is
        raise ValueError(f"{file} holds no spaCy Docs that can be read: {error}") from error
    yield from docs.get_docs(Vocab())


def _fail(message: str, done: Conversion, pass_over: Callable[[str], None] | None) -> None:
    if pass_over is None:
        raise BadLine(message)
    done.bad += 1
    pass_over(message)


def _finished(done: Conversion, shards: ShardWriter, path: Path) -> Conversion:
    if not done.documents:
        skipped = f": {done.bad} bad lines were passed over" if done.bad else ""
        raise ValueError(f"{path} has no documents{skipped}.")
    done.files = shards.finish()
    return done
