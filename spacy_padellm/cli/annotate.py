"""Command `annotate`: files of documents through a pipeline; killed, it goes on where it was."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from wasabi import msg

from .options import CODE, GPU_ID

if TYPE_CHECKING:
    from ..annotate.run import Report

FAILED_SOME = 3  # exit code of a run that finished, and listed documents that failed
BATCH_SIZE = 128


def annotate_cli(
    pipeline: str = typer.Argument(..., help="Pipeline package or folder."),
    inputs: list[Path] = typer.Argument(
        ..., metavar="INPUT…", help=".jsonl, .txt, .spacy (each as .gz too), .parquet, or folders."
    ),
    output: Path = typer.Argument(..., help="Folder to write, or to go on with."),
    format: str = typer.Option("jsonl", "--format", "-f", help="Of the output: jsonl or spacy."),
    text_key: str = typer.Option("text", "--text-key", help="Key of the text in a record."),
    entities_key: str = typer.Option(
        "entities", "--entities-key", help="Key of the entities in an output record (jsonl)."
    ),
    record_key: str = typer.Option(
        "record", "--record-key", help="Key of doc.user_data for an input's other keys (spacy)."
    ),
    spans_key: list[str] = typer.Option(
        [],
        "--spans-key",
        help="Key of doc.spans that has the entities' scores; several times for several. Those of "
        "the padellm_ner components if not given.",
    ),
    batch_size: int = typer.Option(
        BATCH_SIZE, "--batch-size", min=1, help="Documents that are annotated together."
    ),
    shard_size: int = typer.Option(
        1000, "--shard-size", min=1, help="Most documents of an output file; what a kill can cost."
    ),
    n_process: int = typer.Option(
        1, "--n-process", min=1, help="Processes that annotate, each with its own pipeline."
    ),
    gpu_id: int = GPU_ID,
    code: Path | None = CODE,
) -> None:
    """Annotate files of documents. Started again with the same arguments, it goes on where it was.

    \b
    OUTPUT/documents/      the annotated documents
    OUTPUT/errors.jsonl    the documents that failed, with the reason
    OUTPUT/progress.jsonl  what is done
    OUTPUT/manifest.json   inputs, pipeline, settings

    Exit code 0: all is annotated. 3: finished, some documents failed. 1: not finished.
    """
    from ..annotate.job import Job
    from ..annotate.run import Report, Stopped, annotate_files

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
        annotate_files(job, inputs, output, n_process=n_process, report=report, say=msg.warn)
    except Stopped as stop:
        msg.fail(f"Stopped by {stop}", _kept(report, output))
        raise typer.Exit(128 + stop.number) from stop
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        text = str(error)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            text = f"The disk is full. Make room first: {error}"
        msg.fail(f"{output} was not finished", f"{text}\n{_kept(report, output)}", exits=1)
    _summarise(report, output)


def _kept(report: Report, output: Path) -> str:
    done = report.annotated + report.failed
    if not done:
        return "No document is done yet."
    return (
        f"{done} of {report.documents} documents are done and kept, in {report.shards} files of "
        f"{output / 'documents'}. The same command goes on from there."
    )


def _summarise(report: Report, output: Path) -> None:
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
