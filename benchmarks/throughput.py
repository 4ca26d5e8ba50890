"""Documents a second in large batches: every way of finding entities by turns in one process.

python benchmarks/throughput.py ../shared/data --model 135m --device cuda
python benchmarks/throughput.py ../shared/data --model adapter
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import decoders
import typer
from comparison import Figures, Floors, measure, print_table
from contenders import Contender
from documents import Documents
from forced import ForcedModel, Work
from prepared import prepare
from results import write_results
from shapes import NAMES
from spacy.language import Language
from wasabi import msg

from spacy_padellm.pipeline.component import PadellmNER

COLUMNS = (
    ("docs/s", lambda one: f"{one['documents_per_s']:.2f}"),
    ("passes", lambda one: str(one["passes"])),
    ("floor, docs/s", lambda one: f"{one['documents'] / one['floor_seconds']:.1f}"),
)
AUTOREGRESSIVE = ("struct", "aug")


def main(
    data: Path = typer.Argument(..., help="Folder with NAME/test.jsonl"),
    model: str = typer.Option("135m", help=f"One of {', '.join(NAMES)}"),
    sets: list[str] = typer.Option(["conll03", "weibo"], "--set"),
    documents: int = typer.Option(0, min=0, help="Of each set; 0 for 512 on a GPU, else 64"),
    repeat: int = typer.Option(3, min=1, help="Runs of each contender"),
    contender: list[str] = typer.Option([], help="Those to run; all if none is given"),
    device: str = "cpu",
    threads: int | None = typer.Option(None, min=1, help="Of torch; its own choice if not given"),
    own_answers: bool = typer.Option(
        False, help="With adapter: the parallel ways say what the model says, not gold"
    ),
    batch_size: int = typer.Option(0, min=0, help="Of nlp.pipe; 0 for all documents"),
    config: Path = typer.Option(Path("configs/en_padellm.cfg"), help="Of the pipeline"),
    name: str = typer.Option("", help="Of the results; throughput/MODEL-DEVICE if not given"),
) -> None:
    """Time all documents together; print a table, write results/throughput/*.json."""
    ready = prepare(
        data,
        model,
        sets,
        documents or (64 if device == "cpu" else 512),
        contender,
        device,
        repeat=repeat,
        threads=threads,
        own_answers=own_answers,
    )
    figures = ready.figures
    for one, part in ready.sets.items():
        kept: dict[str, Any] = {
            "documents": len(part),
            "labels": len(part.labels),
            "mentions": part.n_mentions,
            "contenders": measure(
                ready.model,
                part,
                ready.contenders,
                ready.floors,
                repeat,
                ready.own_answers,
                together=True,
            ),
        }
        figures["sets"][one] = kept
        print_table(f"{one}, {len(part)} documents together", kept["contenders"], COLUMNS)
        if ready.shipped:
            nlp = decoders.pipeline(config, one)
            size = batch_size or len(part)
            kept["pipe_batch_size"] = size
            kept["pipe"] = measure_pipe(
                nlp, ready.model, part, ready.contenders, ready.floors, repeat, size
            )
            print_pipe(f"{one}, nlp.pipe, what the model itself says", kept["pipe"])
        write_results(name or f"throughput/{model}-{device}", figures, device=device)


def measure_pipe(
    nlp: Language,
    model: ForcedModel,
    documents: Documents,
    contenders: Sequence[Contender],
    floors: Floors,
    repeat: int,
    batch_size: int,
) -> Figures:
    """Time `nlp.pipe`, from texts to annotated documents, a decoder after the other, warmed up.

    nlp (Language): A pipeline with the model's base and adapter; it is given the model.
    model (ForcedModel): The model. It says what it will, so the autoregressive ways, which it was
        not trained for, are left out.
    documents (Documents): The documents.
    contenders (Sequence[Contender]): The ways.
    floors (Floors): Cost of the model, and what the device does at most.
    repeat (int): Runs; medians are taken.
    batch_size (int): Documents that go through together.
    RETURNS (Figures): One a contender.
    """
    ner = nlp.get_pipe("padellm_ner")
    assert isinstance(ner, PadellmNER)
    ner.shim._model = model
    model.script = None
    chosen = [one for one in contenders if not one.name.startswith(AUTOREGRESSIVE)]
    takes: dict[str, list[float]] = {one.name: [] for one in chosen}
    works: dict[str, Work] = {}
    on_gpu = model.device.type == "cuda"
    texts = documents.texts
    for one in chosen:
        model.give_back_memory()
        for _ in range(2 if on_gpu else 1):  # a warm-up
            decoders.timed_run(nlp, one.decoder(), texts if on_gpu else texts[:2], batch_size)
        for _ in range(repeat):
            model.work = works[one.name] = Work()
            run = decoders.timed_run(nlp, one.decoder(), texts, batch_size)
            takes[one.name].append(run.wall)
    return {
        name: {
            "documents": len(documents),
            "seconds": median(found),
            "documents_per_s": len(documents) / median(found),
            "passes": len(works[name].passes),
            "floor_seconds": (floor := floors.cost.floor(works[name].passes, floors.ceilings)),
            "share_of_floor": floor / median(found),
        }
        for name, found in takes.items()
    }


def print_pipe(title: str, figures: Figures) -> None:
    """Print what `nlp.pipe` does in a second."""
    rows = [
        [
            name,
            *(cell(one) for _, cell in COLUMNS),
            f"{100 * one['share_of_floor']:.1f} %",
        ]
        for name, one in figures.items()
    ]
    header = ["contender", *(head for head, _ in COLUMNS), "share of floor"]
    msg.divider(title)
    msg.table(rows, header=header, divider=True, aligns=["l", "r", "r", "r", "r"])


if __name__ == "__main__":
    typer.run(main)
