"""How latency, throughput and memory grow with labels, mentions, length of the text and batch.

python benchmarks/growth.py ../shared/data --model 135m --device cuda
python benchmarks/growth.py ../shared/data --repeat 1 --together 1 --labels 1,8 --mentions 0,3 \\
    --tokens 32,128 --batch 1,4
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
import typer
from contenders import ALL_TOGETHER, Contender, Entrant, Run, able
from documents import Documents, grow, words_of
from forced import ForcedModel
from growth_plot import write_plots
from peak import peak_of
from results import write_results
from shapes import NAMES, load_model
from wasabi import msg

from spacy_padellm.engine.memory import is_out_of_memory
from spacy_padellm.tokenization.codec import Codec

SIZES = {
    "labels": "1,2,4,8,16,32,64",
    "mentions": "0,1,2,4,8,16,32,64",
    "tokens": "32,64,128,256,512,1024,2048,4096,8192",
    "batch": "1,2,4,8,16,32,64,128,256,512",
}
# Tokens of the longest prompt beside the text: words around it, label, number, head and mention.
BESIDE_TEXT = 96
DEFAULT = ("struct", "replicated", "tree", "tree, as shipped")


@dataclass(frozen=True)
class Size:
    """Size of what is decoded.

    labels (int): Labels asked for.
    mentions (int): Mentions of each document, of all labels together.
    tokens (int): Tokens of each text.
    batch (int): Documents that are decoded together for throughput and memory.
    """

    labels: int = 4
    mentions: int = 3
    tokens: int = 64
    batch: int = 1


def main(
    data: Path = typer.Argument(..., help="Folder with conll03/test.jsonl"),
    model: str = typer.Option("135m", help=f"One of {', '.join(NAMES)}"),
    labels: str = typer.Option(SIZES["labels"], help="Numbers of labels; empty for none"),
    mentions: str = typer.Option(SIZES["mentions"], help="Mentions of a document"),
    tokens: str = typer.Option(SIZES["tokens"], help="Tokens of a text"),
    batch: str = typer.Option(SIZES["batch"], help="Documents of a batch"),
    contender: list[str] = typer.Option(list(DEFAULT)),
    together: int = typer.Option(
        0, min=0, help="Documents of the other axes' throughput; 0 for 64 on a GPU, else 4"
    ),
    repeat: int = typer.Option(3, min=1, help="Runs of each contender at each size"),
    most_seconds: float = typer.Option(
        20.0, help="A contender that takes longer is not asked for larger sizes of that kind"
    ),
    device: str = "cpu",
    threads: int | None = typer.Option(None, min=1, help="Of torch; its own choice if not given"),
    plots: bool = typer.Option(True, help="Draw docs/plots/growth-*.svg too"),
    name: str = typer.Option("", help="Of the results; growth/MODEL-DEVICE if not given"),
) -> None:
    """Measure; print a table a kind of size, write plots and JSON to results/growth/."""
    if threads is not None:
        torch.set_num_threads(threads)
    words = words_of(data)
    measured = load_model(model, device)
    contenders = able(measured.device, contender)
    if device == "cpu":
        msg.warn("Peak memory is left out: it needs CUDA")
    base = Size(batch=together or (64 if device != "cpu" else 4))
    name = name or f"growth/{model}-{device}"
    figures: dict[str, Any] = {
        "model": model,
        "repeat": repeat,
        "threads": torch.get_num_threads(),
        "base": asdict(base),
        "axes": {},
    }
    axes = {"labels": labels, "mentions": mentions, "tokens": tokens, "batch": batch}
    for axis, given in axes.items():
        values = [int(value) for value in given.split(",") if value.strip()]
        sizes = list(fitting(axis, values, base, words, measured))
        if not sizes:
            continue
        figures["axes"][axis] = points = measure(
            measured, words, axis, sizes, contenders, repeat, most_seconds
        )
        print_points(axis, points)
        write_results(name, figures, device=device)
    if plots:
        write_plots(name)


def fitting(
    axis: str, values: Sequence[int], base: Size, words: Sequence[str], model: ForcedModel
) -> Iterator[Size]:
    """Sizes along an axis; those that can't be are left out, with a printed reason.

    axis (str): A field of Size.
    values (Sequence[int]): Its values.
    base (Size): All other fields.
    words (Sequence[str]): Words to write with.
    model (ForcedModel): The model, for its window.
    YIELDS (Size): The sizes.
    """
    most = model.max_positions
    for value in values:
        size = replace(base, **{axis: value})
        if axis == "tokens" and most is not None and value + BESIDE_TEXT > most:
            size = replace(size, tokens=most - BESIDE_TEXT)
            msg.warn(f"{value} tokens pass the model's window of {most}: {size.tokens} instead")
        if axis == "mentions":
            # The text grows with them, alike for all, so that a mention has its words.
            size = replace(size, tokens=max(base.tokens, 6 * max(values)))
        try:
            documents_of(size, words, model.codec, 1)
        except ValueError as error:
            msg.warn(f"{axis} {value}: left out. {error}")
            continue
        yield size
        if axis == "tokens" and size.tokens < value:
            return


def documents_of(size: Size, words: Sequence[str], codec: Codec, n: int) -> Documents:
    """RETURNS (Documents): Documents of a size."""
    return grow(
        words,
        codec,
        n,
        n_tokens=size.tokens,
        n_mentions=size.mentions,
        n_labels=size.labels,
    )


def measure(
    model: ForcedModel,
    words: Sequence[str],
    axis: str,
    sizes: Sequence[Size],
    contenders: Sequence[Contender],
    repeat: int,
    most_seconds: float,
) -> list[dict[str, Any]]:
    """Measure contenders at sizes, by turns, after a warm-up at each size.

    model (ForcedModel): The model.
    words (Sequence[str]): Words to write with.
    axis (str): The field of Size that grows.
    sizes (Sequence[Size]): The sizes.
    contenders (Sequence[Contender]): The ways.
    repeat (int): Runs; medians are taken.
    most_seconds (float): Of a run; a contender above it is not asked for the sizes that follow.
    RETURNS (list[dict[str, Any]]): One a size and contender: "at", "contender", "ms" of one
        document alone, "documents_per_s" of a batch, "peak_gib" of a batch above what lay on the
        device before, "ran_out_of_memory" (the decoder then halves the batch; both None without
        CUDA), "passes" of the batch, "documents_as_gold" of it.
    """
    points: list[dict[str, Any]] = []
    left = list(contenders)
    for size in sizes:
        documents = documents_of(size, words, model.codec, size.batch)
        where = f"{axis} {getattr(size, axis)}"
        entrants: list[Entrant] = []
        kept: dict[str, dict[str, Any]] = {}
        runs: dict[str, list[Run]] = {}
        slow: set[str] = set()
        for one in left[:]:
            try:
                entrant = Entrant(one, model, documents, batch_tokens=ALL_TOGETHER)
                entrant.run([0])
                run, peak = peak_of(entrant.run, model.device)
            except Exception as error:
                # A text that leaves no room for the answer, or one document that doesn't fit.
                if not isinstance(error, ValueError) and not is_out_of_memory(error):
                    raise
                msg.warn(f"{one.name}: left out from {where} on. {error}")
                left.remove(one)
                continue
            entrants.append(entrant)
            kept[one.name] = {
                "peak_gib": peak and peak.gib,
                "ran_out_of_memory": peak and peak.ran_out,
                "passes": len(run.work.passes),
                "documents_as_gold": run.as_gold,
            }
            if run.seconds > most_seconds:
                slow.add(one.name)
            # On a GPU a size costs more at first (kernels chosen, graphs captured).
            counts = one.name in slow or model.device.type == "cpu"
            runs[one.name] = [run] if counts else []
        alone: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(repeat):
            for entrant in entrants:
                alone[entrant.name].append(entrant.run([0]).seconds)
                if entrant.name not in slow and len(runs[entrant.name]) < repeat:
                    runs[entrant.name].append(entrant.run())
        points += [
            {
                "at": getattr(size, axis),
                **asdict(size),
                "contender": name,
                "ms": 1000 * median(alone[name]),
                "documents_per_s": size.batch / median(run.seconds for run in found),
                **kept[name],
            }
            for name, found in runs.items()
        ]
        for name in slow:
            msg.warn(f"{name}: above {most_seconds} s at {where}, no further")
        left = [one for one in left if one.name not in slow]
    return points


def print_points(axis: str, points: Sequence[Mapping[str, Any]]) -> None:
    """Print what was measured along an axis."""
    rows = [
        [
            str(one["at"]),
            one["contender"],
            f"{one['ms']:.1f}",
            f"{one['documents_per_s']:.2f}",
            "" if one["peak_gib"] is None else f"{one['peak_gib']:.3f}",
            str(one["passes"]),
            f"{one['documents_as_gold']} of {one['batch']}",
        ]
        for one in points
    ]
    header = [axis, "contender", "ms alone", "docs/s together", "peak GiB", "passes", "as gold"]
    msg.divider(f"growth with {axis}")
    msg.table(rows, header=header, divider=True, aligns=["r", "l", "r", "r", "r", "r", "r"])


if __name__ == "__main__":
    typer.run(main)
