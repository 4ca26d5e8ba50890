"""Documents per second in large batches, and of `nlp.pipe`: every way of finding entities in one
process.

Figure: docs/speed.md, "On a GPU"; results/throughput/*.json.

python benchmarks/throughput.py ../shared/data --model 135m --device cuda
python benchmarks/throughput.py ../shared/data --model adapter
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from harness.comparison import Figures, print_table
from harness.contenders import Contender
from harness.datasets import find_datasets
from harness.documents import Documents
from harness.floors import Floors
from harness.forced import ForcedModel, Work
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
from harness.pipelines import CONFIG, component_of, dataset_pipeline
from harness.results import write_results
from harness.shapes import ADAPTER
from harness.speed import prepare
from harness.timed_pipe import timed_run
from spacy.language import Language

COLUMNS = (
    ("docs/s", lambda row: f"{row['documents_per_s']:.2f}"),
    ("passes", lambda row: str(row["passes"])),
    ("floor, docs/s", lambda row: f"{row['documents'] / row['floor_seconds']:.1f}"),
)
AUTOREGRESSIVE = ("struct", "aug")


def main(
    data: Data,
    model: Model = "135m",
    sets: Sets = None,
    lang: Lang = None,
    documents: Annotated[
        int,
        typer.Option(min=0, help="First documents of each dataset; 0 for 512 on a GPU, else 64"),
    ] = 0,
    repeat: Repeat = 3,
    contender: Contenders = None,
    device: Device = "cpu",
    threads: Threads = None,
    own_answers: OwnAnswers = False,
    batch_size: Annotated[
        int, typer.Option(min=0, help="Batch size of nlp.pipe; 0 for all documents")
    ] = 0,
    config: Annotated[Path, typer.Option(help="Config of the pipeline")] = CONFIG,
    name: ResultName = "",
) -> None:
    """Time all documents together; print a table, write results/throughput/MODEL-DEVICE.json."""
    run = prepare(
        find_datasets(data, sets, ("conll03", "weibo"), lang=lang),
        documents or (64 if device == "cpu" else 512),
        model,
        device,
        contender or (),
        repeat=repeat,
        threads=threads,
        own_answers=own_answers,
    )
    for dataset, part, figures in run.measure(COLUMNS, together=True):
        if model == ADAPTER:
            nlp = dataset_pipeline(config, dataset)
            figures["pipe_batch_size"] = batch_size or len(part)
            figures["pipe"] = measure_pipe(
                nlp,
                run.model,
                part,
                run.contenders,
                run.floors,
                repeat,
                figures["pipe_batch_size"],
            )
            print_table(f"{dataset.name}, nlp.pipe, the model's output", figures["pipe"], COLUMNS)
        write_results(name or f"throughput/{model}-{device}", run.figures, device=device)


def measure_pipe(
    nlp: Language,
    model: ForcedModel,
    documents: Documents,
    contenders: Sequence[Contender],
    floors: Floors,
    repeat: int,
    batch_size: int,
) -> Figures:
    """Time `nlp.pipe`, from texts to annotated documents, one decoder after the other, warmed up.

    nlp (Language): A pipeline with the model's base and adapter; its model is replaced.
    model (ForcedModel): The model. It is not forced, so the autoregressive ways, which it was not
        trained for, are left out.
    documents (Documents): The documents.
    contenders (Sequence[Contender]): The contenders.
    floors (Floors): Least times of the model's passes.
    repeat (int): Number of runs; medians are taken.
    batch_size (int): Batch size of `nlp.pipe`.
    RETURNS (Figures): The figures of each contender.
    """
    shim = component_of(nlp).shim
    shim._model = model.model
    model.script = None
    on_gpu = model.device.type == "cuda"
    texts = documents.texts
    figures: Figures = {}
    for contender in contenders:
        if contender.name.startswith(AUTOREGRESSIVE):
            continue
        model.release_memory()
        shim._runner = model.runner(contender.fuses)
        for _ in range(2 if on_gpu else 1):  # warm-up
            timed_run(nlp, contender.decoder(), texts if on_gpu else texts[:2], batch_size)
        walls = []
        for _ in range(repeat):
            model.work = Work()
            walls.append(timed_run(nlp, contender.decoder(), texts, batch_size).wall)
        passes = model.work.passes
        floor = floors.seconds(passes)
        figures[contender.name] = {
            "documents": len(documents),
            "seconds": median(walls),
            "documents_per_s": len(documents) / median(walls),
            "passes": len(passes),
            "floor_seconds": floor,
            "share_of_floor": floor / median(walls),
        }
    return figures


if __name__ == "__main__":
    typer.run(main)
