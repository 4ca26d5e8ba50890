"""Command `convert`: convert NER corpora to .spacy files."""

from collections.abc import Callable
from pathlib import Path

import typer
from wasabi import msg

from ..corpus.conversion import BadLine, Conversion, convert_source, copy_docs, doc_files
from ..corpus.formats import AUTO, DOCBIN, FORMATS, Source, find_format
from ..corpus.shards import ShardWriter
from ..weights.progress import progress_bar

MAX_PRINTED_LINES = 50


def convert_cli(
    source: Path = typer.Argument(
        ..., metavar="INPUT", help="Corpus: a file, or a folder of .spacy files.", exists=True
    ),
    output: Path = typer.Argument(
        ...,
        help="Output path ending in .spacy: a file, or a folder of files for a large corpus. "
        "[paths] of a training config take either.",
    ),
    format: str = typer.Option(
        AUTO, "--format", "-f", help=f"Format of the corpus: {', '.join(FORMATS)}, or {AUTO}."
    ),
    lang: str = typer.Option("en", "--lang", "-l", help="Language of the tokenizer."),
    offsets: str = typer.Option(
        "token", "--offsets", help="Format lists: unit of the offsets, token or char."
    ),
    exclusive_end: bool = typer.Option(
        False, "--exclusive-end", help="Format lists: the end offsets are exclusive."
    ),
    spans_key: str = typer.Option(
        "gold", "--spans-key", help="Key of doc.spans for all mentions, including overlapping ones."
    ),
    skip_bad: bool = typer.Option(False, "--skip-bad", help="Skip bad lines instead of stopping."),
    docs_per_file: int = typer.Option(
        20_000, "--docs-per-file", min=1, help="Maximum documents of a file; more make a folder."
    ),
) -> None:
    """Convert a corpus of named entities to spaCy's format for training.

    \b
    spans   JSON lines {"text": …, "spans": [{"start": 0, "end": 3, "label": …}]}, characters
    lists   JSON lines ["text", [start, end, "mention", "LABEL"], …]
    conll   one token and its tag per line, a blank line between sentences
    iob     token|tag, one sentence per line
    docbin  .spacy files, copied unchanged

    A bad line is reported with its number and reason and stops the run, and nothing is written.
    """
    try:
        if format not in (AUTO, *FORMATS):
            raise ValueError(f"Unknown format {format!r}. Known: {', '.join((AUTO, *FORMATS))}.")
        source_format = find_format(source) if format == AUTO else format
        total = sum(file.stat().st_size for file in doc_files(source))
        shards = ShardWriter(output, docs_per_file)
        bar = progress_bar(total, "B", f"{source.name} ({source_format})", progress=True)
        with bar, shards:
            if source_format == DOCBIN:
                result = copy_docs(source, shards, bar.update)
            else:
                import spacy

                result = convert_source(
                    Source(source, source_format, lang, offsets, exclusive_end),
                    spacy.blank(lang),
                    shards,
                    spans_key=spans_key,
                    on_bad_line=_BadLinePrinter(bar.write) if skip_bad else None,
                    on_progress=bar.update,
                )
    except BadLine as error:
        msg.fail(
            "1 bad line, nothing was written",
            f"{error}\nCorrect it, or skip bad lines with --skip-bad.",
            exits=1,
        )
    except (ImportError, OSError, ValueError) as error:
        msg.fail(f"{source} was not converted", str(error), exits=1)
    _print_summary(result, source_format, spans_key, output)


class _BadLinePrinter:
    """Prints the first bad lines only, as all lines of a file in another format are bad."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._n = 0

    def __call__(self, message: str) -> None:
        self._n += 1
        if self._n <= MAX_PRINTED_LINES:
            self._write(f"Skipped: {message}")
        elif self._n == MAX_PRINTED_LINES + 1:
            self._write("Further bad lines are skipped and counted below.")


def _print_summary(result: Conversion, format: str, spans_key: str, output: Path) -> None:
    n_files = len(result.files)
    files = f"{output}, a folder of {n_files} files" if n_files > 1 else str(output)
    msg.good(f"{result.documents} documents written to {files}")
    rows = {"Format": format, "Mentions in doc.ents": sum(result.labels.values())}
    for label, number in result.labels.most_common():
        rows[f"  {label}"] = number
    msg.table(rows)
    if result.overlapping:
        msg.warn(
            f"{result.overlapping} mentions overlap others: they are in doc.spans[{spans_key!r}] "
            "with all the rest, not in doc.ents, which holds the longest"
        )
    if result.split_tokens:
        msg.info(f"{result.split_tokens} tokens were split where a mention starts or ends in them")
    if result.trimmed:
        msg.info(f"White space was removed at the edges of {result.trimmed} mentions")
    if result.unannotated:
        msg.warn(f"{result.unannotated} documents lack entity annotation: training skips them")
    if result.ignored_keys:
        msg.info(f"Ignored keys: {', '.join(sorted(result.ignored_keys))}")
    if result.skipped_lines:
        msg.warn(f"{result.skipped_lines} bad lines were skipped")
