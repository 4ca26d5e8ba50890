"""A run: annotate the documents of all input files, or continue an earlier run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ..corpus.record import BadRecord
from ..evaluation.provenance import versions
from ..weights.progress import progress_bar
from .batches import SHARD_BYTES, Batch, make_batches
from .document import check_key_unused, read_document
from .inputs import Input, find_files, fingerprint_input, read_inputs
from .items import SPACY, Item, kind_of, read_items
from .job import Job
from .journal import totals
from .manifest import Manifest
from .output import Output
from .pipeline_hash import sha256_of_pipeline
from .stop_signals import raise_on_signals
from .workers import annotate_in_parallel, annotate_sequentially

LOG_SECONDS = 30.0  # interval of the progress bar if it is written to a file


@dataclass
class Report:
    """Progress of a run.

    documents (int): Documents of the input.
    annotated (int): Documents annotated so far, by earlier runs too.
    failed (int): Documents listed with a reason so far, by earlier runs too.
    before (int): Documents that earlier runs annotated or listed.
    shards (int): Shards done so far, by earlier runs too.
    """

    documents: int = 0
    annotated: int = 0
    failed: int = 0
    before: int = 0
    shards: int = 0

    @property
    def finished(self) -> bool:
        """RETURNS (bool): Whether every document is annotated or listed."""
        return self.annotated + self.failed == self.documents


def annotate_files(
    job: Job,
    paths: Sequence[Path],
    output: Path,
    *,
    n_process: int = 1,
    report: Report | None = None,
    on_warning: Callable[[str], object] = lambda text: None,
) -> Report:
    """Annotate files, or continue an earlier run.

    job (Job): Settings of the run.
    paths (Sequence[Path]): Input files, and folders of input files.
    output (Path): The folder to write.
    n_process (int): Number of processes that annotate.
    report (Report | None): Updated during the run, so that the caller has it after an error.
    on_warning (Callable[[str], object]): Called with each warning for the user.
    RETURNS (Report): The report at the end.
    RAISES (ValueError, OSError, ImportError): Inputs, output or pipeline can't be used.
    RAISES (BrokenPipeline, LostWorker, WorkerError): The pipeline fails on any text, or a process
        ended or can't annotate.
    RAISES (Stopped): SIGINT or SIGTERM.
    """
    report = Report() if report is None else report
    files, others = find_files(paths, output)
    if others:
        on_warning(
            f"Files of other kinds that are not read: {len(others)}, {others[0]} among them."
        )
    with raise_on_signals() as check_signals, Output(output, job.format) as out:
        before = out.manifest()
        known = before.inputs if before and len(before.inputs) == len(files) else None
        inputs = tuple(
            fingerprint_input(path, known[number] if known else None)
            for number, path in enumerate(files)
        )
        manifest = _manifest(job, inputs)
        if before is None:
            _check_first_documents(job, files)
        out.begin(manifest)
        if before is not None and (other := before.other_versions(manifest)):
            on_warning(f"Other versions than when it was begun: {'; '.join(other)}.")
        _update(report, out, inputs)
        report.before = report.annotated + report.failed
        if not report.finished:
            _annotate(job, inputs, out, n_process, report, check_signals)
        out.finish(report.documents)
    return report


def _annotate(
    job: Job,
    inputs: Sequence[Input],
    out: Output,
    n_process: int,
    report: Report,
    check_signals: Callable[[], None],
) -> None:
    """Annotate the documents that the report does not count yet."""
    items, n_items = read_inputs(inputs, report.before), report.documents - report.before
    batches = make_batches(items, n_items, job.batch_size, job.shard_size)
    pending: list[Batch] = []  # sent to the workers, without a result yet

    def sent_items() -> Iterator[tuple[Item, ...]]:
        for batch in batches:
            pending.append(batch)
            yield batch.items

    if n_process == 1:
        results = annotate_sequentially(job, sent_items())
    else:
        results = annotate_in_parallel(job, sent_items(), n_process)
    paths = [file.path for file in inputs]
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
            check_signals()
            batch = pending.pop(0)
            out.add(result)
            in_shard += len(batch.items)
            if batch.closes:
                out.close_shard(in_shard, paths)
                in_shard = 0
                _update(report, out, inputs)
            bar.set_postfix(failed=report.failed, refresh=False)
            bar.update(len(batch.items))


def _manifest(job: Job, inputs: tuple[Input, ...]) -> Manifest:
    settings = {**job.settings(), "bytes of a shard": SHARD_BYTES}
    pipeline = sha256_of_pipeline(job.pipeline, job.code)
    return Manifest(inputs, job.pipeline, pipeline, settings, versions())


def _check_first_documents(job: Job, files: Sequence[Path]) -> None:
    """Fail before the run if the first document of a file already has the key of the entities."""
    for path in files:
        first = None if kind_of(path) == SPACY else next(read_items(path), None)
        if first is None or job.format == SPACY:
            continue
        try:
            document = read_document(first, job.text_key)
        except BadRecord:
            continue  # an error of this document only
        try:
            check_key_unused(document, job.entities_key)
        except BadRecord as error:
            raise ValueError(f"The first document of {path} can't be written: {error}.") from error


def _update(report: Report, out: Output, inputs: Sequence[Input]) -> None:
    report.documents = sum(file.documents for file in inputs)
    _, report.annotated, report.failed = totals(out.shards)
    report.shards = len(out.shards)
