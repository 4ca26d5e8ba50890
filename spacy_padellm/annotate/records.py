"""Serialize annotated documents: lines of JSON, or spaCy's DocBin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import srsly
from spacy.tokens import Doc, DocBin

from .document import Document, with_key
from .job import Job

# Index in the batch, input document, annotated Doc.
AnnotatedDoc = tuple[int, Document, Doc]
# Serialized records, and reasons of the documents that can't be serialized, by index in the batch.
Written = tuple[bytes, dict[int, str]]


class JsonRecords:
    """Lines of JSON: the input record with the entities appended.

    An entity is {"start": 0, "end": 3, "label": "person", "text": "Ada", "score": 0.9}, in
    characters, end exclusive. The score is null if no span group has a score of the entity.
    """

    def __init__(self, job: Job, spans_keys: Sequence[str]) -> None:
        self._key = job.entities_key
        self._spans_keys = spans_keys

    def write(self, docs: Sequence[AnnotatedDoc]) -> Written:
        """Serialize the documents of a batch.

        docs (Sequence[AnnotatedDoc]): The annotated documents.
        RETURNS (Written): The lines, and the reasons of documents that can't be written as JSON.
        """
        lines: list[bytes] = []
        unwritable: dict[int, str] = {}
        for index, document, doc in docs:
            try:
                line = with_key(document.line, self._key, self._entities(doc))
                lines.append(line.encode("utf8") + b"\n")
            except (TypeError, ValueError) as error:  # such as a lone surrogate
                unwritable[index] = f"it can't be written as JSON: {error}"
        return b"".join(lines), unwritable

    def _entities(self, doc: Doc) -> list[dict[str, Any]]:
        scores = self._scores(doc)
        return [
            {
                "start": ent.start_char,
                "end": ent.end_char,
                "label": ent.label_,
                "text": ent.text,
                "score": scores.get((ent.start, ent.end, ent.label)),
            }
            for ent in doc.ents
        ]

    def _scores(self, doc: Doc) -> dict[tuple[int, int, int], float | None]:
        score_of: dict[tuple[int, int, int], float | None] = {}
        for key in self._spans_keys:
            group = doc.spans.get(key)
            scores = () if group is None else group.attrs.get("scores", ())
            if group is None or len(scores) != len(group):
                continue
            for span, score in zip(group, scores, strict=True):
                number = float(str(score))  # the shortest decimal of a float32
                key_of_span = span.start, span.end, span.label
                score_of[key_of_span] = number if math.isfinite(number) else None
        return score_of


class DocRecords:
    """Docs in a DocBin, with the other keys of the input record in `doc.user_data`."""

    def __init__(self, job: Job) -> None:
        self._key = job.record_key

    def write(self, docs: Sequence[AnnotatedDoc]) -> Written:
        """Serialize the documents of a batch.

        docs (Sequence[AnnotatedDoc]): The annotated documents.
        RETURNS (Written): The bytes of a DocBin, and the reasons of documents that can't be
            written as DocBin.
        """
        doc_bin = new_doc_bin()
        unwritable: dict[int, str] = {}
        for index, document, doc in docs:
            if document.rest and self._key in doc.user_data:
                unwritable[index] = f"it has the user data {self._key!r}: give another --record-key"
                continue
            if document.rest:
                doc.user_data[self._key] = document.rest
            try:
                single = new_doc_bin()
                single.add(doc)
                srsly.msgpack_dumps(doc.cats)
                doc_bin.merge(single)
            except Exception as error:  # msgpack's errors depend on the value
                unwritable[index] = (
                    f"it can't be written as DocBin: {type(error).__name__}: {error}"
                )
        return doc_bin.to_bytes(), unwritable


def new_doc_bin() -> DocBin:
    """RETURNS (DocBin): An empty DocBin that stores user data."""
    return DocBin(store_user_data=True)
