"""Command `annotate`: run a pipeline over files of documents, and resume an interrupted run."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from wasabi import msg

from .options import CODE, GPU_ID

if TYPE_CHECKING:
    from ..annotate.run import Report

FAILED_SOME = 3  # exit code of a finished run in which some documents failed
BATCH_SIZE = 128


def annotate_cli(
    pipeline: str = typer.Argument(..., help="Pipeline package or folder."),
    inputs: list[Path] = typer.Argument(
        ..., metavar="INPUT…", help=".jsonl, .txt, .spacy (each as .gz too), .parquet, or folders."
    ),
    output: Path = typer.Argument(
        ..., help="Folder to write; that of an interrupted run to resume it."
    ),
    format: str = typer.Option(
        "jsonl", "--format", "-f", help="Format of the output: jsonl or spacy."
    ),
    text_key: str = typer.Option("text", "--text-key", help="Key of the text in a record."),
    entities_key: str = typer.Option(
        "entities", "--entities-key", help="Key of the entities in an output record (jsonl)."
    ),
    record_key: str = typer.Option(
        "record",
        "--record-key",
        help="Key of doc.user_data for the other keys of an input record (spacy).",
    ),
    spans_key: list[str] = typer.Option(
        [],
        "--spans-key",
        help="Key of doc.spans with the scores of entities; may be repeated. Defaults to the keys "
        "of the padellm_ner components.",
    ),
    batch_size: int = typer.Option(
        BATCH_SIZE, "--batch-size", min=1, help="Documents per batch of the pipeline."
    ),
    shard_size: int = typer.Option(
        1000,
        "--shard-size",
        min=1,
        help="Maximum documents per output file; a resumed run repeats unfinished files.",
    ),
    n_process: int = typer.Option(
        1, "--n-process", min=1, help="Number of processes, each with its own pipeline."
    ),
    gpu_id: int = GPU_ID,
    code: Path | None = CODE,
) -> None:
    """Annotate files of documents. The same arguments resume an interrupted run.

    \b
    OUTPUT/documents/      the annotated documents
    OUTPUT/errors.jsonl    the documents that failed, with the reason
    OUTPUT/progress.jsonl  the finished output files
    OUTPUT/manifest.json   inputs, pipeline, settings

    Exit code 0: all documents are annotated. 3: finished, some documents failed. 1: not finished.
    """
    from ..annotate.job import Job
    from ..annotate.run import Report, annotate_files
    from ..annotate.stop_signals import Stopped

    report = Report()
    try:
        job = Job(
            *(pipeline, format, text_key, entities_key, record_key),
            spans_keys=tuple(spans_key) or None,
            batch_size=batch_size,
            shard_size=shard_size,
            gpu_id=gpu_id,
            code=code,
        )
        annotate_files(job, inputs, output, n_process=n_process, report=report, on_warning=msg.warn)
    except Stopped as stop:
        msg.fail(f"Stopped by {stop}", _progress(report, output))
        raise typer.Exit(128 + stop.number) from stop
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        text = str(error)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            text = f"The disk is full. Free space on it first: {error}"
        msg.fail(f"{output} was not finished", f"{text}\n{_progress(report, output)}", exits=1)
    _print_summary(report, output)


def _progress(report: Report, output: Path) -> str:
    n_done = report.annotated + report.failed
    if not n_done:
        return "No document is done yet."
    return (
        f"{n_done} of {report.documents} documents are done and kept, in {report.shards} files of "
        f"{output / 'documents'}. The same command resumes the run."
    )


def _print_summary(report: Report, output: Path) -> None:
    if report.before == report.documents and report.documents:
        msg.info(f"{output} was finished before: there is nothing to do")
    msg.table(
        {
            "Documents": report.documents,
            "Annotated": report.annotated,
            "Failed": report.failed,
            "Done by an earlier run": report.before,
            "Files": report.shards,
        }
    )
    if report.failed:
        msg.fail(
            f"{report.failed} documents failed: {output / 'errors.jsonl'} has each with its reason"
        )
        raise typer.Exit(FAILED_SOME)
    msg.good(f"All {report.documents} documents are annotated, in {output / 'documents'}")
