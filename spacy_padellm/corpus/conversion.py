"""Conversion of a corpus to .spacy files, in constant memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from .formats import DOCBIN_SUFFIX, Source
from .gold_doc import make_gold_doc
from .lines import OnProgress
from .record import BadRecord
from .shards import ShardWriter

# Documents per memory zone: strings and lexemes that only they have are freed after them.
ZONE_DOCS = 1000


class BadLine(ValueError):
    """A bad line, which stops the conversion."""


@dataclass
class Conversion:
    """The result of a conversion.

    files (list[Path]): The files written.
    documents (int): Number of documents in the files.
    labels (Counter[str]): Number of mentions per label in doc.ents.
    overlapping (int): Mentions that are in doc.spans only, as they overlap others.
    split_tokens (int): Tokens that were split because a mention starts or ends inside them.
    trimmed (int): Mentions of which white space at the edges was removed.
    skipped_lines (int): Bad lines that were skipped.
    ignored_keys (set[str]): Keys of the records that are not used.
    unannotated (int): Documents with tokens that lack entity annotation.
    """

    files: list[Path] = field(default_factory=list)
    documents: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    overlapping: int = 0
    split_tokens: int = 0
    trimmed: int = 0
    skipped_lines: int = 0
    ignored_keys: set[str] = field(default_factory=set)
    unannotated: int = 0

    def count(self, doc: Doc) -> None:
        """Count a written document."""
        self.documents += 1
        self.labels.update(ent.label_ for ent in doc.ents)
        self.unannotated += not doc.has_annotation("ENT_IOB", require_complete=True)


def convert_source(
    source: Source,
    nlp: Language,
    shards: ShardWriter,
    *,
    spans_key: str = "gold",
    on_bad_line: Callable[[str], None] | None = None,
    on_progress: OnProgress = lambda n_bytes: None,
) -> Conversion:
    """Write a corpus as gold Docs. Memory use depends only on the size of an output file.

    source (Source): The corpus.
    nlp (Language): The pipeline whose tokenizer is used.
    shards (ShardWriter): The output; entered by the caller.
    spans_key (str): Key of doc.spans for all mentions, including overlapping ones.
    on_bad_line (Callable[[str], None] | None): Called with the message of each bad line, which is
        skipped; None raises BadLine at the first.
    on_progress (OnProgress): Called with the number of bytes read since the last call.
    RETURNS (Conversion): The result.
    RAISES (BadLine): A bad line, with its file, number and reason.
    RAISES (ValueError): A file that can't be read to its end, or that has no documents.
    """
    result = Conversion()
    entries = source.entries(on_progress)
    for first in entries:
        with nlp.memory_zone():
            for line, record in chain([first], islice(entries, ZONE_DOCS - 1)):
                try:
                    if isinstance(record, BadRecord):
                        raise record
                    gold = make_gold_doc(nlp, record, spans_key)
                except BadRecord as error:
                    _fail(f"{source.path}, line {line}: {error}", result, on_bad_line)
                    continue
                shards.add(gold.doc)
                result.count(gold.doc)
                result.overlapping += gold.n_overlapping
                result.split_tokens += gold.n_split
                result.trimmed += record.n_trimmed
                result.ignored_keys.update(record.ignored_keys)
    return _finish(result, shards, source.path)


def copy_docs(
    path: Path, shards: ShardWriter, on_progress: OnProgress = lambda n_bytes: None
) -> Conversion:
    """Write Docs unchanged.

    path (Path): A .spacy file, or a folder of them.
    shards (ShardWriter): The output; entered by the caller.
    on_progress (OnProgress): Called with the number of bytes read since the last call.
    RETURNS (Conversion): The result.
    RAISES (ValueError): A file that is no DocBin; no documents.
    """
    result = Conversion()
    for file in doc_files(path):
        for doc in _docs(file):
            shards.add(doc)
            result.count(doc)
        on_progress(file.stat().st_size)
    return _finish(result, shards, path)


def doc_files(path: Path) -> list[Path]:
    """RETURNS (list[Path]): The file itself, or the .spacy files of a folder in spaCy's order."""
    if not path.is_dir():
        return [path]
    return sorted(path.rglob(f"*{DOCBIN_SUFFIX}"))


def _docs(file: Path) -> Iterator[Doc]:
    try:
        docs = DocBin().from_disk(file)
    except Exception as error:  # those of zlib, msgpack and numpy, depending on the damage
        raise ValueError(f"{file} holds no spaCy Docs that can be read: {error}") from error
    yield from docs.get_docs(Vocab())


def _fail(message: str, result: Conversion, on_bad_line: Callable[[str], None] | None) -> None:
    if on_bad_line is None:
        raise BadLine(message)
    result.skipped_lines += 1
    on_bad_line(message)


def _finish(result: Conversion, shards: ShardWriter, path: Path) -> Conversion:
    if not result.documents:
        reason = f": {result.skipped_lines} bad lines were skipped" if result.skipped_lines else ""
        raise ValueError(f"{path} has no documents{reason}.")
    result.files = shards.finish()
    return result
