"""Datasets, model, contenders and floors of `latency.py` and `throughput.py`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from wasabi import msg

from .comparison import Column, measure, print_table
from .contenders import Contender, able
from .datasets import Dataset
from .documents import Documents, read_documents
from .floors import Floors, cost_of, measure_ceilings
from .forced import ForcedModel
from .options import set_threads
from .shapes import ADAPTER, load_model


@dataclass(frozen=True)
class SpeedRun:
    """One run of a script: everything that is loaded before the first measurement.

    model (ForcedModel): The model.
    own_answers (bool): Whether the parallel decoders generate the model's output, not gold.
    documents (list[tuple[Dataset, Documents]]): Documents of each dataset.
    contenders (list[Contender]): The contenders.
    floors (Floors): Least times of the model's passes.
    repeat (int): Number of runs of each contender.
    figures (dict[str, Any]): The results; "sets" fills up as datasets are measured.
    """

    model: ForcedModel
    own_answers: bool
    documents: list[tuple[Dataset, Documents]]
    contenders: list[Contender]
    floors: Floors
    repeat: int
    figures: dict[str, Any]

    def measure(
        self, columns: Sequence[Column], *, together: bool
    ) -> Iterator[tuple[Dataset, Documents, dict[str, Any]]]:
        """Measure and print one dataset after the other.

        columns (Sequence[Column]): Columns of the tables.
        together (bool): Whether all documents are decoded together, or one after the other.
        YIELDS (tuple[Dataset, Documents, dict[str, Any]]): The dataset, its documents and its
            figures, which are in `figures` already.
        """
        for dataset, documents in self.documents:
            contenders = measure(
                self.model,
                documents,
                self.contenders,
                self.floors,
                self.repeat,
                self.own_answers,
                together=together,
            )
            self.figures["sets"][dataset.name] = figures = {
                "documents": len(documents),
                "labels": len(documents.labels),
                "mentions": documents.n_mentions,
                "contenders": contenders,
            }
            how = "together" if together else "one at a time"
            print_table(f"{dataset.name}, {len(documents)} documents, {how}", contenders, columns)
            yield dataset, documents, figures


def prepare(
    datasets: Sequence[Dataset],
    n_documents: int,
    model: str,
    device: str,
    contenders: Sequence[str],
    *,
    repeat: int,
    threads: int | None = None,
    own_answers: bool = False,
) -> SpeedRun:
    """Load documents and model, and measure the device's speeds.

    datasets (Sequence[Dataset]): The datasets.
    n_documents (int): Maximum number of documents of each.
    model (str): One of `shapes.NAMES`.
    device (str): torch's name of the device.
    contenders (Sequence[str]): Names of contenders; all if empty.
    repeat (int): Number of runs of each contender.
    threads (int | None): Threads of torch; its own choice if None.
    own_answers (bool): With the adapter: the parallel decoders generate the model's output.
    RETURNS (SpeedRun): The run.
    """
    set_threads(threads)
    adapter = model == ADAPTER
    own_answers = adapter and own_answers
    documents = [
        (dataset, read_documents(dataset, n_documents, for_adapter=adapter)) for dataset in datasets
    ]
    loaded = load_model(model, device)
    selected = able(loaded.device, contenders)
    floors = Floors(cost_of(loaded.model), measure_ceilings(loaded.device, loaded.model.base.dtype))
    msg.info(f"{model} on {device}: {floors.ceilings}")
    figures = {
        "model": model,
        "answers": "own" if own_answers else "gold",
        "repeat": repeat,
        "threads": torch.get_num_threads(),
        "ceilings": floors.ceilings.to_dict(),
        "sets": {},
    }
    return SpeedRun(loaded, own_answers, documents, selected, floors, repeat, figures)
