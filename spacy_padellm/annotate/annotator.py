"""A batch of items through the pipeline: every one is annotated, or failed with a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc

from ..corpus.record import BadRecord
from ..pipeline.component import PadellmNER
from .document import Document, check_free, read_document, source_of
from .items import JSONL, SPACY, Item
from .job import Job
from .records import DocRecords, JsonRecords

PROBE = "Ada met Bo in Rome."


class BrokenPipeline(RuntimeError):
    """A pipeline that fails on whatever it is given."""


@dataclass(frozen=True)
class Failure:
    """A document that could not be annotated.

    file (int): Which of the inputs, from 0.
    number (int): Its line, or its place in a file without lines, from 1.
    reason (str): Why.
    text (str | None): Its text, None where the item says none.
    source (str | None): The line of JSON that it came as.
    """

    file: int
    number: int
    reason: str
    text: str | None
    source: str | None


@dataclass(frozen=True)
class Annotated:
    """What became of a batch.

    content (bytes): The records of what was annotated, as the format has them.
    annotated (int): Their number.
    failures (tuple[Failure, ...]): The rest of the batch, in its order.
    """

    content: bytes
    annotated: int
    failures: tuple[Failure, ...]


class Annotator:
    """Annotates batches. What is in a batch's result follows from the batch alone.

    What a batch adds to the vocabulary is freed after it, by spaCy's memory zones.
    """

    def __init__(self, nlp: Language, job: Job) -> None:
        """Make the pipeline ready.

        nlp (Language): The pipeline; it gets an error handler.
        job (Job): How to annotate.
        """
        keys = job.spans_keys
        if keys is None:
            own = [pipe for _, pipe in nlp.pipeline if isinstance(pipe, PadellmNER)]
            keys = tuple(pipe.cfg["spans_key"] for pipe in own)
        self._nlp = nlp
        self._job = job
        self._records = DocRecords(job) if job.format == SPACY else JsonRecords(job, keys)
        self._reasons: dict[int, str] = {}  # by place in the batch
        self._alone: set[int] = set()  # those that failed by themselves, not with others
        nlp.set_error_handler(self._note)  # type: ignore[arg-type]
        # Outside of a memory zone, so that what components make on first need outlives it.
        self._was_whole = self._works()

    def __call__(self, items: Sequence[Item]) -> Annotated:
        """Annotate a batch.

        items (Sequence[Item]): The batch.
        RETURNS (Annotated): Each item's record or failure.
        RAISES (BrokenPipeline): The pipeline fails on all of the batch, and on a plain sentence
            too: the reason is not in the documents.
        """
        reasons: dict[int, str] = {}
        texts: dict[int, Document] = {}
        for place, item in enumerate(items):
            try:
                one = read_document(item, self._job.text_key)
                if self._job.format == JSONL:
                    check_free(one, self._job.entities_key)
                texts[place] = one
            except BadRecord as error:
                reasons[place] = str(error)
        with self._nlp.memory_zone():
            done, failed = self._annotate(texts)
            content, refused = self._records.write(
                [(place, texts[place], done[place]) for place in sorted(done)]
            )
            del done
        if failed and not self._works() and (self._was_whole or len(failed) == len(texts)):
            raise BrokenPipeline(
                f"The pipeline fails on any text now, on {PROBE!r} too, so the reason is not in "
                f"the documents: {next(iter(failed.values()))}"
            )
        reasons |= failed | refused
        failures = tuple(
            _failure(items[place], texts.get(place), reasons[place]) for place in sorted(reasons)
        )
        return Annotated(content, len(items) - len(failures), failures)

    def _annotate(self, texts: Mapping[int, Document]) -> tuple[dict[int, Doc], dict[int, str]]:
        """RETURNS (tuple[dict[int, Doc], dict[int, str]]): Documents, and the reasons of those
        that failed, by place in the batch."""
        failed: dict[int, str] = {}
        docs: dict[int, Doc] = {}
        for place, one in texts.items():
            try:
                docs[place] = self._make_doc(one)
            except Exception as error:
                failed[place] = _said(error)
        done = self._pipe(docs)
        reasons, settled = dict(self._reasons), self._alone & docs.keys()
        for place in sorted(docs.keys() - done.keys() - settled):
            # It failed along with others, or without a word: what becomes of it alone?
            done |= self._pipe({place: self._make_doc(texts[place])})
            reasons[place] = self._reasons.get(place, "the pipeline gave no document back")
        failed |= {place: reasons[place] for place in docs.keys() - done.keys()}
        for place in list(done):
            if done[place].text != texts[place].text:
                del done[place]
                failed[place] = "the pipeline gave a document of another text back"
        return done, failed

    def _make_doc(self, one: Document) -> Doc:
        if one.doc is None:
            return self._nlp.make_doc(one.text)
        return Doc(self._nlp.vocab).from_bytes(one.doc)

    def _pipe(self, docs: Mapping[int, Doc]) -> dict[int, Doc]:
        """RETURNS (dict[int, Doc]): The documents that came through."""
        self._reasons, self._alone = {}, set()
        done: dict[int, Doc] = {}
        pairs = [(doc, place) for place, doc in docs.items()]
        try:
            for doc, place in self._nlp.pipe(pairs, as_tuples=True, batch_size=len(docs) or 1):
                # A component that makes a Doc of its own leaves out whose it is.
                if place is None and len(docs) == 1:
                    (place,) = docs
                if place in docs:
                    done[place] = doc
        except Exception as error:
            self._reasons |= dict.fromkeys(docs.keys() - self._reasons.keys(), _said(error))
        return done

    def _note(self, name: str, component: Any, docs: Sequence[Doc], error: Exception) -> None:
        """spaCy's error handler: nothing is raised, so that the other documents go on."""
        for doc in docs:
            self._reasons[doc._context] = f"{name}: {_said(error)}"
            if len(docs) == 1:
                self._alone.add(doc._context)

    def _works(self) -> bool:
        try:
            return bool(self._pipe({0: self._nlp.make_doc(PROBE)}))
        except Exception:
            return False


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _failure(item: Item, one: Document | None, reason: str) -> Failure:
    text = one.text if one is not None else None
    return Failure(item.file, item.number, reason, text, source_of(item))
