"""Run a batch of items through the pipeline: one record or one failure per item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc

from ..corpus.record import BadRecord
from ..pipeline.loading import padellm_components
from .document import Document, check_key_unused, read_document, source_of
from .items import JSONL, SPACY, Item
from .job import Job
from .records import DocRecords, JsonRecords

PROBE = "Ada met Bo in Rome."


class BrokenPipeline(RuntimeError):
    """A pipeline that fails on any text."""


@dataclass(frozen=True)
class Failure:
    """A document that could not be annotated.

    file (int): Index of its input file, from 0.
    number (int): Number of its line, or of the document in a file without lines, from 1.
    reason (str): Why it failed.
    text (str | None): Its text; None if the item has no readable text.
    source (str | None): Its line of JSON; None for other kinds of input.
    """

    file: int
    number: int
    reason: str
    text: str | None
    source: str | None


@dataclass(frozen=True)
class AnnotatedBatch:
    """The result of a batch.

    content (bytes): Records of the annotated documents, in the format of the job.
    annotated (int): Number of annotated documents.
    failures (tuple[Failure, ...]): The other documents, in the order of the batch.
    """

    content: bytes
    annotated: int
    failures: tuple[Failure, ...]


class Annotator:
    """Annotates batches. The result of a batch depends on the batch alone.

    spaCy's memory zones (https://spacy.io/usage/memory-management) free what a batch adds to the
    vocabulary.
    """

    def __init__(self, nlp: Language, job: Job) -> None:
        """Prepare the pipeline: set its error handler and run it once.

        nlp (Language): The pipeline.
        job (Job): Settings of the run.
        """
        keys = job.spans_keys
        if keys is None:
            keys = tuple(ner.cfg["spans_key"] for ner in padellm_components(nlp).values())
        self._nlp = nlp
        self._job = job
        self._records = DocRecords(job) if job.format == SPACY else JsonRecords(job, keys)
        self._errors: dict[int, str] = {}  # error text by index in the batch
        self._failed_alone: set[int] = set()  # indices of errors that concern a single document
        nlp.set_error_handler(self._record_error)  # type: ignore[arg-type]
        # Outside of a memory zone: what components create on first use must outlive the zone.
        self._worked_at_start = self._pipeline_works()

    def __call__(self, items: Sequence[Item]) -> AnnotatedBatch:
        """Annotate a batch.

        items (Sequence[Item]): The batch.
        RETURNS (AnnotatedBatch): A record or a failure for each item.
        RAISES (BrokenPipeline): The pipeline fails on the whole batch and on a plain sentence too,
            so the documents are not the reason.
        """
        reasons: dict[int, str] = {}
        documents: dict[int, Document] = {}
        for index, item in enumerate(items):
            try:
                document = read_document(item, self._job.text_key)
                if self._job.format == JSONL:
                    check_key_unused(document, self._job.entities_key)
                documents[index] = document
            except BadRecord as error:
                reasons[index] = str(error)
        with self._nlp.memory_zone():
            docs, failed = self._annotate(documents)
            content, unwritable = self._records.write(
                [(index, documents[index], docs[index]) for index in sorted(docs)]
            )
            del docs
        if (
            failed
            and not self._pipeline_works()
            and (self._worked_at_start or len(failed) == len(documents))
        ):
            raise BrokenPipeline(
                f"The pipeline fails on any text now, on {PROBE!r} too, so the reason is not in "
                f"the documents: {next(iter(failed.values()))}"
            )
        reasons |= failed | unwritable
        failures = tuple(
            _failure(items[index], documents.get(index), reasons[index])
            for index in sorted(reasons)
        )
        return AnnotatedBatch(content, len(items) - len(failures), failures)

    def _annotate(self, documents: Mapping[int, Document]) -> tuple[dict[int, Doc], dict[int, str]]:
        """RETURNS (tuple[dict[int, Doc], dict[int, str]]): Annotated documents, and the reasons of
        those that failed, by index in the batch."""
        failed: dict[int, str] = {}
        docs: dict[int, Doc] = {}
        for index, document in documents.items():
            try:
                docs[index] = self._make_doc(document)
            except Exception as error:
                failed[index] = _error_text(error)
        annotated = self._pipe(docs)
        errors, failed_alone = dict(self._errors), self._failed_alone & docs.keys()
        for index in sorted(docs.keys() - annotated.keys() - failed_alone):
            # It failed together with other documents, or without an error: run it alone.
            annotated |= self._pipe({index: self._make_doc(documents[index])})
            errors[index] = self._errors.get(index, "the pipeline gave no document back")
        failed |= {index: errors[index] for index in docs.keys() - annotated.keys()}
        for index in list(annotated):
            if annotated[index].text != documents[index].text:
                del annotated[index]
                failed[index] = "the pipeline gave a document of another text back"
        return annotated, failed

    def _make_doc(self, document: Document) -> Doc:
        if document.doc is None:
            return self._nlp.make_doc(document.text)
        return Doc(self._nlp.vocab).from_bytes(document.doc)

    def _pipe(self, docs: Mapping[int, Doc]) -> dict[int, Doc]:
        """Run the pipeline; `_errors` and `_failed_alone` hold the errors afterwards.

        RETURNS (dict[int, Doc]): The documents that the pipeline returned, by index in the batch.
        """
        self._errors, self._failed_alone = {}, set()
        returned: dict[int, Doc] = {}
        pairs = [(doc, index) for index, doc in docs.items()]
        try:
            for doc, index in self._nlp.pipe(pairs, as_tuples=True, batch_size=len(docs) or 1):
                # A component that returns a new Doc loses the context, here the index.
                if index is None and len(docs) == 1:
                    (index,) = docs
                if index in docs:
                    returned[index] = doc
        except Exception as error:
            self._errors |= dict.fromkeys(docs.keys() - self._errors.keys(), _error_text(error))
        return returned

    def _record_error(
        self, name: str, component: Any, docs: Sequence[Doc], error: Exception
    ) -> None:
        """spaCy's error handler. It does not raise, so that the other documents are processed."""
        for doc in docs:
            self._errors[doc._context] = f"{name}: {_error_text(error)}"
            if len(docs) == 1:
                self._failed_alone.add(doc._context)

    def _pipeline_works(self) -> bool:
        try:
            return bool(self._pipe({0: self._nlp.make_doc(PROBE)}))
        except Exception:
            return False


def _error_text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _failure(item: Item, document: Document | None, reason: str) -> Failure:
    text = document.text if document is not None else None
    return Failure(item.file, item.number, reason, text, source_of(item))
