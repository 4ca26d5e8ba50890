"""Contenders by turns over the same documents: medians, ratios and floors, as a table and JSON."""

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

from contenders import AGAINST, Contender, Entrant, Run
from documents import Documents
from floor import Ceilings, Cost
from forced import ForcedModel
from wasabi import msg

Figures = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Floors:
    """What runs are held against.

    cost (Cost): Of the model's passes.
    ceilings (Ceilings): Of the device.
    """

    cost: Cost
    ceilings: Ceilings

    def seconds(self, run: Run) -> float:
        """RETURNS (float): The least seconds of a run's passes."""
        return self.cost.floor(run.work.passes, self.ceilings)


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
    """Time contenders after a warm-up: by turns, or one after the other where all documents are
    run over together on a GPU.

    model (ForcedModel): The model.
    documents (Documents): The documents.
    contenders (Sequence[Contender]): The ways.
    floors (Floors): Cost of the model, and what the device does at most.
    repeat (int): Runs; medians are taken.
    own_answers (bool): As of `Entrant`.
    together (bool): Whether all documents are run over together, or one after the other.
    RETURNS (Figures): One a contender.
    """
    entrants = [Entrant(one, model, documents, own_answers=own_answers) for one in contenders]
    everything = list(range(len(documents)))
    parts = [everything] if together else [[i] for i in everything]
    on_gpu = model.device.type == "cuda"
    # On a GPU each new size costs twice (kernels chosen, graphs captured).
    if not on_gpu:
        by_turns(entrants, [everything[:2]] if together else parts[:1], 1)
    elif not together:
        by_turns(entrants, parts, 2)
    # What is there by now is not looked through for garbage while runs are timed.
    gc.collect()
    gc.freeze()
    if on_gpu and together:
        runs = [found for one in entrants for found in _alone(one, parts, repeat)]
    else:
        runs = by_turns(entrants, parts, repeat)
    figures = figures_of(entrants, runs, len(documents), floors)
    for one in figures.values():
        one["documents"] = len(documents)
    return figures


def _alone(entrant: Entrant, parts: Sequence[Sequence[int]], repeat: int) -> list[list[list[Run]]]:
    """RETURNS (list[list[list[Run]]]): Runs of one entrant, warmed up: captured passes of large
    batches, and what they keep, may not fit a GPU beside those of another way."""
    entrant.model.give_back_memory()
    by_turns([entrant], parts, 2)
    return by_turns([entrant], parts, repeat)


def by_turns(
    entrants: Sequence[Entrant], parts: Sequence[Sequence[int]], repeat: int
) -> list[list[list[Run]]]:
    """Run all entrants over each part of the documents, by turns, `repeat` times.

    entrants (Sequence[Entrant]): At least one.
    parts (Sequence[Sequence[int]]): Indices of the documents that are run over together.
    repeat (int): Times.
    RETURNS (list[list[list[Run]]]): For each entrant and part, its runs.
    """
    runs: list[list[list[Run]]] = [[[] for _ in parts] for _ in entrants]
    for _ in range(repeat):
        for number, part in enumerate(parts):
            for entrant, found in zip(entrants, runs, strict=True):
                found[number].append(entrant.run(part))
    return runs


def figures_of(
    entrants: Sequence[Entrant],
    runs: Sequence[Sequence[Sequence[Run]]],
    n_documents: int,
    floors: Floors,
) -> Figures:
    """RETURNS (Figures): For each entrant seconds of all documents (over the parts, sums of
    medians), documents a second, their floor, the share of the time that is forcing, passes, and
    how many times the time of each of AGAINST it is faster."""
    figures: Figures = {}
    for entrant, parts in zip(entrants, runs, strict=True):
        took = sum(median(run.seconds for run in part) for part in parts)
        floor = sum(floors.seconds(part[0]) for part in parts)
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
    for one in figures.values():
        one["times_faster_than"] = {
            name: figures[name]["seconds"] / one["seconds"] for name in AGAINST if name in figures
        }
    return figures


Column = tuple[str, Callable[[dict[str, Any]], str]]


def print_table(title: str, figures: Figures, columns: Sequence[Column]) -> None:
    """Print figures.

    title (str): What they are of.
    figures (Figures): One row a contender.
    columns (Sequence[Column]): Head of each column, and how its cell is read off.
    """
    against = [name for name in AGAINST if name in figures]
    header = ["contender", *(head for head, _ in columns), "share of floor"]
    header += [f"× {name}" for name in against] + ["forcing", "as gold"]
    rows = [
        [
            name,
            *(cell(one) for _, cell in columns),
            f"{100 * one['share_of_floor']:.1f} %",
            *(f"{one['times_faster_than'][other]:.2f}" for other in against),
            f"{100 * one['forcing_share']:.2f} %",
            str(one["documents_as_gold"]),
        ]
        for name, one in figures.items()
    ]
    msg.divider(title)
    msg.table(rows, header=header, divider=True, aligns=["l"] + ["r"] * (len(header) - 1))


def ceilings_line(ceilings: Ceilings) -> str:
    """RETURNS (str): What a device does at most, in words."""
    return (
        f"copies {ceilings.bytes_per_s / 1e9:.1f} GB/s, matrix products "
        f"{ceilings.operations_per_s / 1e12:.3f} T operations a second"
    )
