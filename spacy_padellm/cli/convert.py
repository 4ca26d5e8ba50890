"""Command `convert`: NER corpora to .spacy files."""

from collections.abc import Callable
from pathlib import Path

import typer
from wasabi import msg

from ..corpus.conversion import BadLine, Conversion, convert_source, doc_files, pass_docs
from ..corpus.formats import AUTO, FORMATS, Source, find_format
from ..corpus.shards import ShardWriter
from ..weights.progress import progress_bar

SHOWN_BAD_LINES = 50


def convert_cli(
    source: Path = typer.Argument(
        ..., metavar="INPUT", help="The corpus: a file, or a folder of .spacy files.", exists=True
    ),
    output: Path = typer.Argument(
        ...,
        help="Where to, ending in .spacy: a file, or a folder of files for a large corpus. "
        "[paths] of a training config take either.",
    ),
    format: str = typer.Option(
        AUTO, "--format", "-f", help=f"One of {', '.join(FORMATS)}, or {AUTO}."
    ),
    lang: str = typer.Option("en", "--lang", "-l", help="Language, for the tokens."),
    offsets: str = typer.Option(
        "token", "--offsets", help="Format lists: what the offsets count, token or char."
    ),
    exclusive_end: bool = typer.Option(
        False, "--exclusive-end", help="Format lists: an end is the first one after the mention."
    ),
    spans_key: str = typer.Option(
        "gold", "--spans-key", help="Key of doc.spans for all mentions, the overlapping ones too."
    ),
    skip_bad: bool = typer.Option(
        False, "--skip-bad", help="Leave bad lines out and go on, instead of stopping."
    ),
    docs_per_file: int = typer.Option(
        20_000, "--docs-per-file", min=1, help="Most documents of one file; more make a folder."
    ),
) -> None:
    """Convert a corpus of named entities to spaCy's format for training.

    \b
    spans   JSON lines {"text": …, "spans": [{"start": 0, "end": 3, "label": …}]}, characters
    lists   JSON lines ["text", [start, end, "mention", "LABEL"], …]
    conll   a token and its tag a line, a blank line behind each sentence
    iob     token|tag, a sentence a line
    docbin  .spacy files, passed through

    A bad line is reported with its number and reason and stops the run, and nothing is written.
    """
    try:
        if format not in (AUTO, *FORMATS):
            raise ValueError(f"Unknown format {format!r}. Known: {', '.join((AUTO, *FORMATS))}.")
        found = find_format(source) if format == AUTO else format
        total = sum(file.stat().st_size for file in doc_files(source))
        shards = ShardWriter(output, docs_per_file)
        bar = progress_bar(total, "B", f"{source.name} ({found})", progress=True)
        with bar, shards:
            if found == "docbin":
                done = pass_docs(source, shards, bar.update)
            else:
                import spacy

                done = convert_source(
                    Source(source, found, lang, offsets, exclusive_end),
                    spacy.blank(lang),
                    shards,
                    spans_key=spans_key,
                    pass_over=_Report(bar.write) if skip_bad else None,
                    advance=bar.update,
                )
    except BadLine as error:
        msg.fail(
            "1 bad line, nothing was written",
            f"{error}\nMend it, or leave bad lines out with --skip-bad.",
            exits=1,
        )
    except (ImportError, OSError, ValueError) as error:
        msg.fail(f"{source} was not converted", str(error), exits=1)
    _summarise(done, found, spans_key, output)


class _Report:
    """Prints the first bad lines, so that a corpus in another format does not flood the screen."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._n = 0

    def __call__(self, message: str) -> None:
        self._n += 1
        if self._n <= SHOWN_BAD_LINES:
            self._write(f"Left out: {message}")
        elif self._n == SHOWN_BAD_LINES + 1:
            self._write("More bad lines are left out and counted below.")


def _summarise(done: Conversion, format: str, spans_key: str, output: Path) -> None:
    n_files = len(done.files)
    place = f"{output}, a folder of {n_files} files" if n_files > 1 else str(output)
    msg.good(f"{done.documents} documents written to {place}")
    rows = {"Format": format, "Mentions in doc.ents": sum(done.labels.values())}
    for label, number in done.labels.most_common():
        rows[f"  {label}"] = number
    msg.table(rows)
    if done.overlapping:
        msg.warn(
            f"{done.overlapping} mentions overlap others: they are in doc.spans[{spans_key!r}] "
            "with all the rest, not in doc.ents (the longest stand there)"
        )
    if done.split_tokens:
        msg.info(f"{done.split_tokens} tokens were split where a mention starts or ends in them")
    if done.trimmed:
        msg.info(f"{done.trimmed} mentions had white space at their edges, which was left out")
    if done.unannotated:
        msg.warn(f"{done.unannotated} documents lack entity annotation: training leaves them out")
    if done.unread:
        msg.info(f"Keys that were not read: {', '.join(sorted(done.unread))}")
    if done.bad:
        msg.warn(f"{done.bad} bad lines were left out")
