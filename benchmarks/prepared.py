"""What `latency.py` and `throughput.py` begin with: model, documents, contenders, floors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from comparison import Floors, ceilings_line
from contenders import Contender, able
from documents import Documents, read_set
from floor import cost_of, measure_ceilings
from forced import ForcedModel
from shapes import ADAPTER, load_model
from wasabi import msg


@dataclass(frozen=True)
class Prepared:
    """Ready to be measured.

    model (ForcedModel): The model.
    shipped (bool): Whether it is the shipped adapter's.
    own_answers (bool): Whether the parallel ways say what the model says, not gold.
    sets (dict[str, Documents]): The documents of each set.
    contenders (list[Contender]): The ways that can run here.
    floors (Floors): Cost of the model, and what the device does at most.
    figures (dict[str, Any]): The results so far: all but the sets'.
    """

    model: ForcedModel
    shipped: bool
    own_answers: bool
    sets: dict[str, Documents]
    contenders: list[Contender]
    floors: Floors
    figures: dict[str, Any]


def prepare(
    data: Path,
    model: str,
    sets: Sequence[str],
    documents: int,
    contenders: Sequence[str],
    device: str,
    *,
    repeat: int,
    threads: int | None = None,
    own_answers: bool = False,
) -> Prepared:
    """Load what is to be measured, and measure what the device does at most.

    data (Path): The folder of the sets.
    model (str): One of `shapes.NAMES`.
    sets (Sequence[str]): Names of the sets.
    documents (int): Documents of each set.
    contenders (Sequence[str]): Those wanted; all if none is given.
    device (str): torch's name of the device.
    repeat (int): Runs of each contender.
    threads (int | None): Of torch; its own choice if None.
    own_answers (bool): With the adapter: the parallel ways say what the model says, not gold.
    RETURNS (Prepared): All of it.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    shipped = model == ADAPTER
    own_answers = shipped and own_answers
    found = {name: read_set(data, name, documents, shipped=shipped) for name in sets}
    measured = load_model(model, device)
    able_here = able(measured.device, contenders)
    floors = Floors(cost_of(measured), measure_ceilings(measured.device, measured.base.dtype))
    msg.info(f"{model} on {device}: {ceilings_line(floors.ceilings)}")
    figures = {
        "model": model,
        "answers": "own" if own_answers else "gold",
        "repeat": repeat,
        "threads": torch.get_num_threads(),
        "ceilings": floors.ceilings.to_dict(),
        "sets": {},
    }
    return Prepared(measured, shipped, own_answers, found, able_here, floors, figures)
