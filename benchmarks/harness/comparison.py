"""Contenders over the same documents: medians, ratios and floors, as a table and JSON."""

import gc
from collections.abc import Callable, Sequence
from statistics import mean, median
from typing import Any

from wasabi import msg

from .contenders import AGAINST, Contender
from .documents import Documents
from .entrant import Entrant, Run
from .floors import Floors
from .forced import ForcedModel

Figures = dict[str, dict[str, Any]]
Column = tuple[str, Callable[[dict[str, Any]], str]]  # head, and text of a row's cell


def measure(
    model: ForcedModel,
    documents: Documents,
    contenders: Sequence[Contender],
    floors: Floors,
    repeat: int,
    own_answers: bool = False,
    *,
    together: bool = False,
) -> Figures:
    """Time contenders after a warm-up, by turns; one after the other where all documents are
    decoded together on a GPU.

    model (ForcedModel): The model.
    documents (Documents): The documents.
    contenders (Sequence[Contender]): The contenders.
    floors (Floors): Least times of the model's passes.
    repeat (int): Number of runs; medians are taken.
    own_answers (bool): As of `Entrant`.
    together (bool): Whether all documents are decoded together, or one after the other.
    RETURNS (Figures): The figures of each contender.
    """
    entrants = [
        Entrant(contender, model, documents, own_answers=own_answers) for contender in contenders
    ]
    everything = list(range(len(documents)))
    parts = [everything] if together else [[i] for i in everything]
    on_gpu = model.device.type == "cuda"
    # On a GPU the first two runs of a new size are slow (kernels chosen, graphs captured).
    if not on_gpu:
        by_turns(entrants, [everything[:2]] if together else parts[:1], 1)
    elif not together:
        by_turns(entrants, parts, 2)
    # Keep the garbage collector off existing objects while runs are timed.
    gc.collect()
    gc.freeze()
    if on_gpu and together:
        runs = [_alone(entrant, parts, repeat) for entrant in entrants]
    else:
        runs = by_turns(entrants, parts, repeat)
    return figures_of(entrants, runs, len(documents), floors)


def _alone(entrant: Entrant, parts: Sequence[Sequence[int]], repeat: int) -> list[list[Run]]:
    """RETURNS (list[list[Run]]): Runs of one entrant over each part, warmed up. Captured passes of
    large batches and their memory may not fit a GPU beside those of another contender."""
    entrant.model.release_memory()
    by_turns([entrant], parts, 2)
    return by_turns([entrant], parts, repeat)[0]


def by_turns(
    entrants: Sequence[Entrant], parts: Sequence[Sequence[int]], repeat: int
) -> list[list[list[Run]]]:
    """Run all entrants over each part of the documents, by turns, `repeat` times.

    entrants (Sequence[Entrant]): At least one.
    parts (Sequence[Sequence[int]]): Indices of the documents that are decoded together.
    repeat (int): Number of runs of each entrant over each part.
    RETURNS (list[list[list[Run]]]): Runs by entrant and part.
    """
    runs: list[list[list[Run]]] = [[[] for _ in parts] for _ in entrants]
    for _ in range(repeat):
        for number, part in enumerate(parts):
            for entrant, runs_of_parts in zip(entrants, runs, strict=True):
                runs_of_parts[number].append(entrant.run(part))
    return runs


def figures_of(
    entrants: Sequence[Entrant],
    runs: Sequence[Sequence[Sequence[Run]]],
    n_documents: int,
    floors: Floors,
) -> Figures:
    """RETURNS (Figures): Of each entrant the seconds of all documents (sum of the parts' medians),
    documents per second, floor, share of the time that is forcing, passes, and how many times
    faster it is than each of AGAINST."""
    figures: Figures = {}
    for entrant, parts in zip(entrants, runs, strict=True):
        took = sum(median(run.seconds for run in part) for part in parts)
        floor = sum(floors.seconds(part[0].work.passes) for part in parts)
        every = [run for part in parts for run in part]
        figures[entrant.name] = {
            "seconds": took,
            "ms_a_document": 1000 * took / n_documents,
            "documents_per_s": n_documents / took,
            "floor_seconds": floor,
            "share_of_floor": floor / took,
            "passes": sum(len(part[0].work.passes) for part in parts),
            "passes_a_document": mean(len(part[0].work.passes) for part in parts),
            "tokens": sum(tokens for part in parts for tokens, _ in part[0].work.passes),
            "forcing_share": sum(run.work.forcing for run in every)
            / sum(run.seconds for run in every),
            "documents_as_gold": sum(part[0].as_gold for part in parts),
        }
    for row in figures.values():
        row["times_faster_than"] = {
            name: figures[name]["seconds"] / row["seconds"] for name in AGAINST if name in figures
        }
        row["documents"] = n_documents
    return figures


def print_table(title: str, figures: Figures, columns: Sequence[Column]) -> None:
    """Print figures.

    title (str): Title of the table.
    figures (Figures): One row per contender.
    columns (Sequence[Column]): Further columns.
    """
    against = [name for name in AGAINST if "times_faster_than" in figures.get(name, {})]
    every: list[Column] = [
        *columns,
        ("share of floor", lambda row: f"{100 * row['share_of_floor']:.1f} %"),
        *((f"× {name}", _times_faster(name)) for name in against),
    ]
    if all("forcing_share" in row for row in figures.values()):
        every.append(("forcing", lambda row: f"{100 * row['forcing_share']:.2f} %"))
        every.append(("as gold", lambda row: str(row["documents_as_gold"])))
    rows = [[name, *(cell(row) for _, cell in every)] for name, row in figures.items()]
    header = ["contender", *(head for head, _ in every)]
    msg.divider(title)
    msg.table(rows, header=header, divider=True, aligns=["l"] + ["r"] * len(every))


def _times_faster(name: str) -> Callable[[dict[str, Any]], str]:
    return lambda row: f"{row['times_faster_than'][name]:.2f}"
