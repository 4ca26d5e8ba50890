"""Annotated documents as records: lines of JSON, or spaCy's DocBin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import srsly
from spacy.tokens import Doc, DocBin

from .document import Document, with_key
from .job import Job

# Place in the batch, what was read, what the pipeline made of it.
Made = tuple[int, Document, Doc]
Written = tuple[bytes, dict[int, str]]


class JsonRecords:
    """Lines of JSON: the input's record with the entities at its end.

    An entity is {"start": 0, "end": 3, "label": "person", "text": "Ada", "score": 0.9}, in
    characters, end exclusive. The score is null where no span group has one.
    """

    def __init__(self, job: Job, spans_keys: Sequence[str]) -> None:
        self._key = job.entities_key
        self._spans_keys = spans_keys

    def write(self, made: Sequence[Made]) -> Written:
        """Write a batch.

        made (Sequence[Made]): Its documents.
        RETURNS (Written): The lines, and why the rest can't be written, by place in the batch.
        """
        lines: list[bytes] = []
        refused: dict[int, str] = {}
        for place, one, doc in made:
            try:
                line = with_key(one.line, self._key, self._entities(doc))
                lines.append(line.encode("utf8") + b"\n")
            except (TypeError, ValueError) as error:  # half of a character among them
                refused[place] = f"it can't be written as JSON: {error}"
        return b"".join(lines), refused

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
        found: dict[tuple[int, int, int], float | None] = {}
        for key in self._spans_keys:
            group = doc.spans.get(key)
            scores = () if group is None else group.attrs.get("scores", ())
            if group is None or len(scores) != len(group):
                continue
            for span, score in zip(group, scores, strict=True):
                number = float(str(score))  # the shortest that is this one in single precision
                found[span.start, span.end, span.label] = number if math.isfinite(number) else None
        return found


class DocRecords:
    """Docs in a DocBin, the rest of the input's record in `doc.user_data`."""

    def __init__(self, job: Job) -> None:
        self._key = job.record_key

    def write(self, made: Sequence[Made]) -> Written:
        """Write a batch.

        made (Sequence[Made]): Its documents.
        RETURNS (Written): The bytes of a DocBin, and why the rest can't be written, by place in
            the batch.
        """
        docs = new_doc_bin()
        refused: dict[int, str] = {}
        for place, one, doc in made:
            if one.rest and self._key in doc.user_data:
                refused[place] = f"it has the user data {self._key!r}: give another --record-key"
                continue
            if one.rest:
                doc.user_data[self._key] = one.rest
            try:
                alone = new_doc_bin()
                alone.add(doc)
                srsly.msgpack_dumps(doc.cats)
                docs.merge(alone)
            except Exception as error:  # msgpack's own, by what it does not know
                refused[place] = f"it can't be written as DocBin: {type(error).__name__}: {error}"
        return docs.to_bytes(), refused


def new_doc_bin() -> DocBin:
    """RETURNS (DocBin): An empty one that keeps user data."""
    return DocBin(store_user_data=True)
