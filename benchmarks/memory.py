"""Memory of decoding at the 7B shape: peak a document, and the largest batch that fits the GPU.

python benchmarks/memory.py ../shared/data --model 7b
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import typer
from contenders import ALL_TOGETHER, Entrant, able
from documents import read_set
from peak import GIB, Peak, peak_of
from results import write_results
from shapes import NAMES, load_model
from wasabi import msg

DEFAULT = ("struct", "replicated", "tree", "tree, as shipped")


def main(
    data: Path = typer.Argument(..., help="Folder with NAME/test.jsonl"),
    model: str = typer.Option("7b", help=f"One of {', '.join(NAMES)}"),
    sets: list[str] = typer.Option(["conll03", "weibo"], "--set"),
    batch: int = typer.Option(16, min=1, help="Documents of the batch whose peak is measured"),
    most: int = typer.Option(4096, min=1, help="Documents at which the search for a batch stops"),
    contender: list[str] = typer.Option(list(DEFAULT)),
    device: str = "cuda",
    name: str = typer.Option("", help="Of the results; memory/MODEL if not given"),
) -> None:
    """Measure; print a table a set, write results/memory/*.json."""
    if not device.startswith("cuda") or not torch.cuda.is_available():
        msg.fail("Peak memory can only be measured on a GPU", "It needs CUDA.", exits=1)
    found = {one: read_set(data, one, most) for one in sets}
    measured = load_model(model, device)
    contenders = able(measured.device, contender)
    total = torch.cuda.get_device_properties(measured.device).total_memory
    figures: dict[str, Any] = {
        "model": model,
        "batch": batch,
        "gpu_gib": total / GIB,
        "weights_gib": torch.cuda.memory_allocated(measured.device) / GIB,
        "sets": {},
    }
    for one, documents in found.items():
        kept: dict[str, dict[str, float]] = {}
        figures["sets"][one] = kept
        for way in contenders:
            entrant = Entrant(way, measured, documents, batch_tokens=ALL_TOGETHER)
            entrant.run([0])
            first = range(min(batch, len(documents)))
            kept[way.name] = {
                "gib_of_one": max(_peak(entrant, [i]).gib for i in first),
                "gib_a_document": _peak(entrant, first).gib / len(first),
                "largest_batch": largest(partial(_fits, entrant), most),
            }
            msg.info(f"{one}, {way.name}: {kept[way.name]}")
        _print(one, kept, most)
        write_results(name or f"memory/{model}", figures, device=device)


def largest(fit: Callable[[int], bool], most: int) -> int:
    """Find the largest number that fits: doubled until one does not, then halved intervals.

    fit (Callable[[int], bool]): Whether a number fits; true up to some number, false above.
    most (int): Where the search stops.
    RETURNS (int): The number, 0 if not even 1 fits.
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
    """RETURNS (bool): Whether n documents can be decoded together, the same ones again where the
    set has fewer."""
    return not _peak(entrant, [i % len(entrant.documents) for i in range(n)]).ran_out


def _peak(entrant: Entrant, indices: Sequence[int]) -> Peak:
    """RETURNS (Peak): Of decoding some documents together."""
    _, found = peak_of(lambda: entrant.run(indices), entrant.model.device)
    assert found is not None
    return found


def _print(name: str, kept: dict[str, dict[str, float]], most: int) -> None:
    rows = [
        [
            way,
            f"{one['gib_of_one']:.3f}",
            f"{one['gib_a_document']:.4f}",
            f"{one['largest_batch']}{' or more' if one['largest_batch'] == most else ''}",
        ]
        for way, one in kept.items()
    ]
    header = ["contender", "GiB of one, worst", "GiB a document", "largest batch"]
    msg.divider(name)
    msg.table(rows, header=header, divider=True, aligns=["l", "r", "r", "r"])


if __name__ == "__main__":
    typer.run(main)
