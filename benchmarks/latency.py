"""Latency of one document: every way of finding entities by turns in one process.

Figure: docs/speed.md, "On a GPU" and "On a CPU"; results/latency/*.json.

python benchmarks/latency.py ../shared/data --model 135m
python benchmarks/latency.py ../shared/data --model 7b --device cuda
python benchmarks/latency.py ../shared/data --model adapter
python benchmarks/latency.py my_corpus/test.jsonl --lang de
"""

from typing import Annotated

import typer
from harness.datasets import find_datasets
from harness.options import (
    Contenders,
    Data,
    Device,
    Lang,
    Model,
    OwnAnswers,
    Repeat,
    ResultName,
    Sets,
    Threads,
)
from harness.results import write_results
from harness.speed import prepare

COLUMNS = (
    ("ms a document", lambda row: f"{row['ms_a_document']:.1f}"),
    ("passes", lambda row: f"{row['passes_a_document']:.2f}"),
    ("floor, ms", lambda row: f"{1000 * row['floor_seconds'] / row['documents']:.2f}"),
)


def main(
    data: Data,
    model: Model = "135m",
    sets: Sets = None,
    lang: Lang = None,
    documents: Annotated[int, typer.Option(min=1, help="First documents of each dataset")] = 16,
    repeat: Repeat = 3,
    contender: Contenders = None,
    device: Device = "cpu",
    threads: Threads = None,
    own_answers: OwnAnswers = False,
    name: ResultName = "",
) -> None:
    """Time one document after the other; print a table, write results/latency/MODEL-DEVICE.json."""
    run = prepare(
        find_datasets(data, sets, ("conll03", "weibo"), lang=lang),
        documents,
        model,
        device,
        contender or (),
        repeat=repeat,
        threads=threads,
        own_answers=own_answers,
    )
    for _ in run.measure(COLUMNS, together=False):
        write_results(name or f"latency/{model}-{device}", run.figures, device=device)


if __name__ == "__main__":
    typer.run(main)
