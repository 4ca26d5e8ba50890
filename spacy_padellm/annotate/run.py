"""A run over all documents, and what stops it."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from ..corpus.record import BadRecord
from ..evaluation.provenance import versions
from ..weights.progress import progress_bar
from .document import check_free, read_document
from .inputs import Input, find_files, look_at, read_from
from .items import SPACY, Item, kind_of, read_items
from .job import Job
from .journal import totals
from .manifest import Manifest
from .output import Output
from .pipeline_hash import sha256_of_pipeline
from .workers import annotate_here, annotate_there

# A shard is closed when it has so much, however few documents that are. A DocBin takes some
# fifty times as much memory.
SHARD_BYTES = 4_000_000
LOG_SECONDS = 30.0  # between two states of the bar where it goes to a file


class Stopped(BaseException):
    """A signal asks to stop. No part of a pipeline takes it for a fault of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@dataclass(frozen=True)
class Batch:
    """Documents that are annotated together.

    items (tuple[Item, ...]): The documents, of one shard.
    closes (bool): Whether the shard ends with them.
    """

    items: tuple[Item, ...]
    closes: bool


@dataclass
class Report:
    """What became of a run.

    documents (int): Documents of the input.
    annotated (int): Those annotated so far.
    failed (int): Those listed with a reason so far.
    before (int): Those that an earlier run had done.
    shards (int): Shards so far.
    """

    documents: int = 0
    annotated: int = 0
    failed: int = 0
    before: int = 0
    shards: int = 0

    @property
    def finished(self) -> bool:
        """RETURNS (bool): Whether all is done."""
        return self.annotated + self.failed == self.documents


def annotate_files(
    job: Job,
    paths: Sequence[Path],
    output: Path,
    *,
    n_process: int = 1,
    report: Report | None = None,
    say: Callable[[str], object] = lambda text: None,
) -> Report:
    """Annotate files, or go on where an earlier run was.

    job (Job): How.
    paths (Sequence[Path]): Files and folders of them.
    output (Path): The folder to write.
    n_process (int): Processes that annotate.
    report (Report | None): Kept up to date, for whoever handles an error.
    say (Callable[[str], object]): Called with what a user should know.
    RETURNS (Report): What was done.
    RAISES (ValueError, OSError, ImportError): Inputs, an output or a pipeline that can't be used.
    RAISES (BrokenPipeline, LostWorker, WorkerError): A pipeline or a process that is of no use.
    RAISES (Stopped): SIGINT or SIGTERM.
    """
    report = Report() if report is None else report
    files, others = find_files(paths, output)
    if others:
        say(f"Files of other kinds that are not read: {len(others)}, {others[0]} among them.")
    with _stoppable() as stop, Output(output, job.format) as out:
        before = out.manifest()
        known = before.inputs if before and len(before.inputs) == len(files) else None
        inputs = tuple(
            look_at(path, known[number] if known else None) for number, path in enumerate(files)
        )
        now = _manifest(job, inputs)
        if before is None:
            _check_first(job, files)
        out.begin(now)
        if before is not None and (other := before.other_versions(now)):
            say(f"Other versions than when it was begun: {'; '.join(other)}.")
        _count(out, report, inputs)
        report.before = report.annotated + report.failed
        if not report.finished:
            _annotate(job, inputs, out, n_process, report, stop)
        out.finish(report.documents)
    return report


def _annotate(
    job: Job,
    inputs: Sequence[Input],
    out: Output,
    n_process: int,
    report: Report,
    stop: Callable[[], None],
) -> None:
    left = report.documents - report.before
    batches = make_batches(read_from(inputs, report.before), left, job.batch_size, job.shard_size)
    waiting: list[Batch] = []  # their results are to come

    def given() -> Iterator[tuple[Item, ...]]:
        for batch in batches:
            waiting.append(batch)
            yield batch.items

    if n_process == 1:
        results = annotate_here(job, given())
    else:
        results = annotate_there(job, given(), n_process)
    paths = [one.path for one in inputs]
    in_shard = 0
    bar = progress_bar(
        report.documents,
        " docs",
        "Annotating",
        progress=True,
        initial=report.before,
        mininterval=0.5 if sys.stderr.isatty() else LOG_SECONDS,
    )
    with bar, closing(results):  # type: ignore[type-var]
        for result in results:
            stop()
            batch = waiting.pop(0)
            out.add(result)
            in_shard += len(batch.items)
            if batch.closes:
                out.close_shard(in_shard, paths)
                in_shard = 0
                _count(out, report, inputs)
            bar.set_postfix(failed=report.failed, refresh=False)
            bar.update(len(batch.items))


def make_batches(
    items: Iterable[Item],
    n_items: int,
    batch_size: int,
    shard_size: int,
    shard_bytes: int = SHARD_BYTES,
) -> Iterator[Batch]:
    """Divide documents into shards, and these into batches.

    items (Iterable[Item]): The documents, from the start of a shard on.
    n_items (int): Their number.
    batch_size (int): Most documents of a batch.
    shard_size (int): Most documents of a shard.
    shard_bytes (int): A shard ends with the document that makes it so large.
    YIELDS (Batch): The batches; the last one closes its shard.
    """
    batch: list[Item] = []
    in_shard = size = 0
    for number, item in enumerate(items, 1):
        batch.append(item)
        in_shard += 1
        size += item.size
        closes = in_shard == shard_size or size >= shard_bytes or number == n_items
        if closes or len(batch) == batch_size:
            yield Batch(tuple(batch), closes)
            batch = []
        if closes:
            in_shard = size = 0


def _manifest(job: Job, inputs: tuple[Input, ...]) -> Manifest:
    settings = {**job.settings(), "bytes of a shard": SHARD_BYTES}
    pipeline = sha256_of_pipeline(job.pipeline, job.code)
    return Manifest(inputs, job.pipeline, pipeline, settings, versions())


def _check_first(job: Job, files: Sequence[Path]) -> None:
    """Refuse before the work what would be refused of each document."""
    for path in files:
        first = None if kind_of(path) == SPACY else next(read_items(path), None)
        if first is None or job.format == SPACY:
            continue
        try:
            one = read_document(first, job.text_key)
        except BadRecord:
            continue  # a fault of this document
        try:
            check_free(one, job.entities_key)
        except BadRecord as error:
            raise ValueError(f"The first document of {path} can't be written: {error}.") from error


def _count(out: Output, report: Report, inputs: Sequence[Input]) -> None:
    report.documents = sum(one.documents for one in inputs)
    _, report.annotated, report.failed = totals(out.shards)
    report.shards = len(out.shards)


@contextmanager
def _stoppable() -> Iterator[Callable[[], None]]:
    """SIGINT and SIGTERM raise Stopped, so that what is half done is removed.

    YIELDS (Callable[[], None]): Raises it again, where code without a way to raise was interrupted.
    """
    seen: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        raise Stopped(number)

    def check() -> None:
        if seen:
            raise Stopped(seen[0])

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                before[number] = signal.signal(number, stop)
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
