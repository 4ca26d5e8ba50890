"""Latency of one document: every way of finding entities by turns in one process.

python benchmarks/latency.py ../shared/data --model 135m
python benchmarks/latency.py ../shared/data --model 7b --device cuda
python benchmarks/latency.py ../shared/data --model adapter
"""

from pathlib import Path

import typer
from comparison import measure, print_table
from prepared import prepare
from results import write_results
from shapes import NAMES

COLUMNS = (
    ("ms a document", lambda one: f"{one['ms_a_document']:.1f}"),
    ("passes", lambda one: f"{one['passes_a_document']:.2f}"),
    ("floor, ms", lambda one: f"{1000 * one['floor_seconds'] / one['documents']:.2f}"),
)


def main(
    data: Path = typer.Argument(..., help="Folder with NAME/test.jsonl"),
    model: str = typer.Option("135m", help=f"One of {', '.join(NAMES)}"),
    sets: list[str] = typer.Option(["conll03", "weibo"], "--set"),
    documents: int = typer.Option(16, min=1, help="Documents of each set, from its first on"),
    repeat: int = typer.Option(3, min=1, help="Runs of each contender over each document"),
    contender: list[str] = typer.Option([], help="Those to run; all if none is given"),
    device: str = "cpu",
    threads: int | None = typer.Option(None, min=1, help="Of torch; its own choice if not given"),
    own_answers: bool = typer.Option(
        False, help="With adapter: the parallel ways say what the model says, not gold"
    ),
    name: str = typer.Option("", help="Of the results; latency/MODEL-DEVICE if not given"),
) -> None:
    """Time one document after the other; print a table, write results/latency/*.json."""
    ready = prepare(
        data,
        model,
        sets,
        documents,
        contender,
        device,
        repeat=repeat,
        threads=threads,
        own_answers=own_answers,
    )
    figures = ready.figures
    for one, part in ready.sets.items():
        figures["sets"][one] = {
            "documents": len(part),
            "labels": len(part.labels),
            "mentions": part.n_mentions,
            "contenders": measure(
                ready.model, part, ready.contenders, ready.floors, repeat, ready.own_answers
            ),
        }
        print_table(
            f"{one}, {len(part)} documents, one at a time",
            figures["sets"][one]["contenders"],
            COLUMNS,
        )
        write_results(name or f"latency/{model}-{device}", figures, device=device)


if __name__ == "__main__":
    typer.run(main)
