"""Latency of one document: every way of finding entities by turns in one process.

python benchmarks/latency.py ../shared/data --model 135m
python benchmarks/latency.py ../shared/data --model 7b --device cuda
python benchmarks/latency.py ../shared/data --model adapter
"""

from collections.abc import Sequence
from pathlib import Path

import typer
from comparison import Figures, Floors, by_turns, figures_of, print_table
from contenders import Contender, Entrant
from documents import Documents
from forced import ForcedModel
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


def measure(
    model: ForcedModel,
    documents: Documents,
    contenders: Sequence[Contender],
    floors: Floors,
    repeat: int,
    own_answers: bool = False,
) -> Figures:
    """Time contenders by turns, document by document, after a warm-up.

    model (ForcedModel): The model.
    documents (Documents): The documents.
    contenders (Sequence[Contender]): The ways.
    floors (Floors): Cost of the model, and what the device does at most.
    repeat (int): Runs over each document; medians are taken.
    own_answers (bool): As of `Entrant`.
    RETURNS (Figures): One a contender.
    """
    entrants = [Entrant(one, model, documents, own_answers=own_answers) for one in contenders]
    parts = [[i] for i in range(len(documents))]
    # On a GPU each new size costs twice (kernels chosen, graphs captured).
    on_gpu = model.device.type == "cuda"
    by_turns(entrants, parts if on_gpu else parts[:1], 2 if on_gpu else 1)
    runs = by_turns(entrants, parts, repeat)
    figures = figures_of(entrants, runs, len(documents), floors)
    for one in figures.values():
        one["documents"] = len(documents)
    return figures


if __name__ == "__main__":
    typer.run(main)
