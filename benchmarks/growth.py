"""Growth of latency, throughput and peak memory with labels, mentions, text length and batch size.

Figures: docs/growth.md and docs/plots/growth-*.svg; results/growth/*.json.

python benchmarks/growth.py ../shared/data --model 135m --device cuda
python benchmarks/growth.py ../shared/data --repeat 1 --together 1 --labels 1,8 --mentions 0,3 \\
    --tokens 32,128 --batch 1,4
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Annotated, Any

import torch
import typer
from harness.contenders import ALL_TOGETHER, Contender, able
from harness.datasets import find_datasets
from harness.documents import Documents
from harness.entrant import Entrant, Run
from harness.forced import ForcedModel
from harness.grown import grow, words_of
from harness.growth_figure import write_plots
from harness.options import Data, Device, Model, ResultName, Sets, Threads, set_threads
from harness.peak import Peak, peak_of
from harness.results import write_results
from harness.shapes import load_model
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
    """Size of the documents of a measurement.

    labels (int): Number of labels.
    mentions (int): Mentions of each document, of all labels together.
    tokens (int): Tokens of each text.
    batch (int): Documents that are decoded together for throughput and memory.
    """

    labels: int = 4
    mentions: int = 3
    tokens: int = 64
    batch: int = 1


@dataclass
class Measured:
    """A contender at one size.

    entrant (Entrant): The contender.
    first (Run): Its first run over the batch.
    peak (Peak | None): Peak memory of that run; None on a CPU.
    slow (bool): Whether that run took too long to be repeated.
    alone (list[float]): Seconds of each run over one document.
    together (list[Run]): Runs over the batch.
    """

    entrant: Entrant
    first: Run
    peak: Peak | None
    slow: bool
    alone: list[float] = field(default_factory=list)
    together: list[Run] = field(default_factory=list)

    def figures(self, batch: int) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The figures, as of `measure`."""
        return {
            "contender": self.entrant.name,
            "ms": 1000 * median(self.alone),
            "documents_per_s": batch / median(run.seconds for run in self.together),
            "peak_gib": self.peak and self.peak.gib,
            "ran_out_of_memory": self.peak and self.peak.ran_out,
            "passes": len(self.first.work.passes),
            "documents_as_gold": self.first.as_gold,
        }


def main(
    data: Data,
    sets: Sets = None,
    model: Model = "135m",
    labels: Annotated[str, typer.Option(help="Numbers of labels; empty for none")] = SIZES[
        "labels"
    ],
    mentions: Annotated[str, typer.Option(help="Mentions of a document")] = SIZES["mentions"],
    tokens: Annotated[str, typer.Option(help="Tokens of a text")] = SIZES["tokens"],
    batch: Annotated[str, typer.Option(help="Documents of a batch")] = SIZES["batch"],
    contender: Annotated[
        list[str] | None, typer.Option(help=f"{'; '.join(DEFAULT)} if none")
    ] = None,
    together: Annotated[
        int,
        typer.Option(min=0, help="Documents of the other axes' batch; 0 for 64 on a GPU, else 4"),
    ] = 0,
    repeat: Annotated[int, typer.Option(min=1, help="Runs of each contender at each size")] = 3,
    most_seconds: Annotated[
        float, typer.Option(help="A contender that takes longer is not run at larger sizes")
    ] = 20.0,
    device: Device = "cpu",
    threads: Threads = None,
    plots: Annotated[bool, typer.Option(help="Draw docs/plots/growth-*.svg too")] = True,
    name: ResultName = "",
) -> None:
    """Measure; print a table per kind of size, write plots and results/growth/MODEL-DEVICE.json."""
    set_threads(threads)
    words = words_of(find_datasets(data, sets, ("conll03",))[0])
    loaded = load_model(model, device)
    contenders = able(loaded.device, contender or DEFAULT)
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
    for axis, text in axes.items():
        values = [int(value) for value in text.split(",") if value.strip()]
        sizes = list(fitting(axis, values, base, words, loaded))
        if not sizes:
            continue
        figures["axes"][axis] = points = measure(
            loaded, words, axis, sizes, contenders, repeat, most_seconds
        )
        print_points(axis, points)
        write_results(name, figures, device=device)
    if plots:
        write_plots(name)


def fitting(
    axis: str, values: Sequence[int], base: Size, words: Sequence[str], model: ForcedModel
) -> Iterator[Size]:
    """Select the sizes along an axis that are possible; print why others are left out.

    axis (str): A field of Size.
    values (Sequence[int]): Its values.
    base (Size): All other fields.
    words (Sequence[str]): Words of the texts.
    model (ForcedModel): The model, for its context window.
    YIELDS (Size): The sizes.
    """
    window = model.max_positions
    for value in values:
        size = replace(base, **{axis: value})
        if axis == "tokens" and window is not None and value + BESIDE_TEXT > window:
            size = replace(size, tokens=window - BESIDE_TEXT)
            msg.warn(f"{value} tokens pass the model's window of {window}: {size.tokens} instead")
        if axis == "mentions":
            # The text is long enough for the most mentions, and of the same length for all.
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
    words (Sequence[str]): Words of the texts.
    axis (str): The field of Size that grows.
    sizes (Sequence[Size]): The sizes.
    contenders (Sequence[Contender]): The contenders.
    repeat (int): Number of runs; medians are taken.
    most_seconds (float): A contender whose run takes longer is left out of the sizes that follow.
    RETURNS (list[dict[str, Any]]): Figures of each size and contender: "at", "contender", "ms" of
        one document alone, "documents_per_s" of a batch, "peak_gib" of a batch above the memory
        allocated before, "ran_out_of_memory" (the decoder then halves the batch; both None without
        CUDA), "passes" of the batch, "documents_as_gold" of it.
    """
    points: list[dict[str, Any]] = []
    left = list(contenders)
    for size in sizes:
        documents = documents_of(size, words, model.codec, size.batch)
        where = f"{axis} {getattr(size, axis)}"
        rows: list[Measured] = []
        for contender in left[:]:
            try:
                rows.append(_first_run(contender, model, documents, most_seconds))
            except Exception as error:
                # A text that leaves no room for the answer, or one document that doesn't fit.
                if not isinstance(error, ValueError) and not is_out_of_memory(error):
                    raise
                msg.warn(f"{contender.name}: left out from {where} on. {error}")
                left.remove(contender)
        for _ in range(repeat):
            for row in rows:
                row.alone.append(row.entrant.run([0]).seconds)
                if not row.slow and len(row.together) < repeat:
                    row.together.append(row.entrant.run())
        points += [
            {"at": getattr(size, axis), **asdict(size), **row.figures(size.batch)} for row in rows
        ]
        for row in rows:
            if row.slow:
                msg.warn(f"{row.entrant.name}: above {most_seconds} s at {where}, no further")
        slow = {row.entrant.name for row in rows if row.slow}
        left = [contender for contender in left if contender.name not in slow]
    return points


def _first_run(
    contender: Contender, model: ForcedModel, documents: Documents, most_seconds: float
) -> Measured:
    """RETURNS (Measured): A contender after its warm-up and its first run over the batch."""
    entrant = Entrant(contender, model, documents, batch_tokens=ALL_TOGETHER)
    entrant.run([0])
    run, peak = peak_of(entrant.run, model.device)
    row = Measured(entrant, run, peak, run.seconds > most_seconds)
    # On a GPU the first run of a size is slow (kernels chosen, graphs captured).
    if row.slow or model.device.type == "cpu":
        row.together.append(run)
    return row


def print_points(axis: str, points: Sequence[Mapping[str, Any]]) -> None:
    """Print the figures along an axis."""
    rows = [
        [
            str(point["at"]),
            point["contender"],
            f"{point['ms']:.1f}",
            f"{point['documents_per_s']:.2f}",
            "" if point["peak_gib"] is None else f"{point['peak_gib']:.3f}",
            str(point["passes"]),
            f"{point['documents_as_gold']} of {point['batch']}",
        ]
        for point in points
    ]
    header = [axis, "contender", "ms alone", "docs/s together", "peak GiB", "passes", "as gold"]
    msg.divider(f"growth with {axis}")
    msg.table(rows, header=header, divider=True, aligns=["r", "l", "r", "r", "r", "r", "r"])


if __name__ == "__main__":
    typer.run(main)
