"""Memory of decoding at the 7B shape: peak per document, and the largest batch that fits the GPU.

Figure: docs/growth.md; results/memory/*.json.

python benchmarks/memory.py ../shared/data --model 7b
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

import torch
import typer
from harness.contenders import ALL_TOGETHER, able
from harness.datasets import find_datasets
from harness.documents import read_documents
from harness.entrant import Entrant
from harness.options import Data, Device, Lang, Model, ResultName, Sets
from harness.peak import GIB, Peak, peak_of
from harness.results import write_results
from harness.shapes import load_model
from wasabi import msg

DEFAULT = ("struct", "replicated", "tree", "tree, as shipped")


def main(
    data: Data,
    model: Model = "7b",
    sets: Sets = None,
    lang: Lang = None,
    batch: Annotated[int, typer.Option(min=1, help="Documents of the measured batch")] = 16,
    most: Annotated[int, typer.Option(min=1, help="Largest batch that is tried")] = 4096,
    contender: Annotated[
        list[str] | None, typer.Option(help=f"{'; '.join(DEFAULT)} if none")
    ] = None,
    device: Device = "cuda",
    name: ResultName = "",
) -> None:
    """Measure; print a table per dataset, write results/memory/MODEL.json."""
    if not device.startswith("cuda") or not torch.cuda.is_available():
        msg.fail("Peak memory can only be measured on a GPU", "It needs CUDA.", exits=1)
    datasets = find_datasets(data, sets, ("conll03", "weibo"), lang=lang)
    documents = {dataset.name: read_documents(dataset, most) for dataset in datasets}
    loaded = load_model(model, device)
    contenders = able(loaded.device, contender or DEFAULT)
    total = torch.cuda.get_device_properties(loaded.device).total_memory
    figures: dict[str, Any] = {
        "model": model,
        "batch": batch,
        "gpu_gib": total / GIB,
        "weights_gib": torch.cuda.memory_allocated(loaded.device) / GIB,
        "sets": {},
    }
    for set_name, part in documents.items():
        rows: dict[str, dict[str, float]] = {}
        figures["sets"][set_name] = rows
        for way in contenders:
            entrant = Entrant(way, loaded, part, batch_tokens=ALL_TOGETHER)
            entrant.run([0])
            first = range(min(batch, len(part)))
            rows[way.name] = {
                "gib_of_one": max(_peak(entrant, [i]).gib for i in first),
                "gib_a_document": _peak(entrant, first).gib / len(first),
                "largest_batch": largest(partial(_fits, entrant), most),
            }
            msg.info(f"{set_name}, {way.name}: {rows[way.name]}")
        _print(set_name, rows, most)
        write_results(name or f"memory/{model}", figures, device=device)


def largest(fit: Callable[[int], bool], most: int) -> int:
    """Find the largest number that fits: double until a number does not fit, then bisect.

    fit (Callable[[int], bool]): Whether a number fits; true up to some number, false above.
    most (int): Largest number that is tried.
    RETURNS (int): The number, at most 1/32 too small; 0 if not even 1 fits.
    """
    low, high = 0, 1
    while high <= most and fit(high):
        low, high = high, 2 * high
    if high > most:
        if low == most or fit(most):
            return most
        high = most
    while high - low > max(1, low // 32):
        middle = (low + high) // 2
        if fit(middle):
            low = middle
        else:
            high = middle
    return low


def _fits(entrant: Entrant, n: int) -> bool:
    """RETURNS (bool): Whether n documents can be decoded together; those of a smaller dataset are
    repeated."""
    return not _peak(entrant, [i % len(entrant.documents) for i in range(n)]).ran_out


def _peak(entrant: Entrant, indices: Sequence[int]) -> Peak:
    """RETURNS (Peak): Peak memory of decoding some documents together."""
    _, peak = peak_of(lambda: entrant.run(indices), entrant.model.device)
    assert peak is not None
    return peak


def _print(title: str, figures: dict[str, dict[str, float]], most: int) -> None:
    rows = [
        [
            way,
            f"{row['gib_of_one']:.3f}",
            f"{row['gib_a_document']:.4f}",
            f"{row['largest_batch']}{' or more' if row['largest_batch'] == most else ''}",
        ]
        for way, row in figures.items()
    ]
    header = ["contender", "GiB of one, worst", "GiB a document", "largest batch"]
    msg.divider(title)
    msg.table(rows, header=header, divider=True, aligns=["l", "r", "r", "r"])


if __name__ == "__main__":
    typer.run(main)
