"""Time of loading the assembled pipeline, and peak memory of annotating with it.

Figure: docs/speed.md, "On a CPU"; results/load_memory.json.

python -m spacy assemble configs/en_padellm.cfg build/en_padellm
python benchmarks/load_memory.py measure build/en_padellm ../shared/data
"""

import json
import time
from pathlib import Path
from statistics import median
from typing import Any

import typer
from harness.datasets import find_datasets
from harness.processes import peak_gib, run_child
from harness.results import write_results
from wasabi import msg

app = typer.Typer(help=__doc__, no_args_is_help=True)


@app.command()
def measure(
    pipeline: Path,
    data: Path = typer.Argument(..., help="Folder with conll03, or one dataset's folder or file"),
    documents: int = typer.Option(100, min=1, help="First documents of the dataset"),
    repeat: int = typer.Option(3, min=1, help="Fresh processes"),
    threads: int | None = typer.Option(
        None, min=1, help="Threads of torch; its own choice if none"
    ),
) -> None:
    """Run `child` in fresh processes; take medians of the times, and the worst peak."""
    options = [] if threads is None else ["--threads", threads]
    runs = [run_child(__file__, pipeline, data, documents, *options) for _ in range(repeat)]
    timed = [key for key in runs[0] if key.endswith("_s")]
    figures = {
        **{key: round(median(run[key] for run in runs), 2) for key in timed},
        **{key: round(max(run[key] for run in runs), 3) for key in runs[0] if key.endswith("_gib")},
        "documents": documents,
        "threads": runs[0]["threads"],
        "runs": runs,
    }
    msg.good(", ".join(f"{key} {value}" for key, value in figures.items() if key != "runs"))
    write_results("load_memory", figures)


@app.command(hidden=True)
def child(pipeline: Path, data: Path, documents: int, threads: int | None = None) -> None:
    """Import, load, annotate; print the figures as one line of JSON.

    Weights are loaded on first need: the time of loading is that of `spacy.load` and a first
    document.
    """
    start = clock()
    import peft  # noqa: F401
    import spacy
    import spacy_transformers  # noqa: F401
    import torch
    import transformers  # noqa: F401

    if threads is not None:
        torch.set_num_threads(threads)
    imported, imported_gib = clock(), peak_gib()
    nlp = spacy.load(pipeline)
    loaded = clock()
    nlp("Marie Curie left Warsaw for Paris.")
    ready, ready_gib = clock(), peak_gib()
    (dataset, *_) = find_datasets(data, None, ("conll03",))
    entities = sum(len(doc.ents) for doc in nlp.pipe(dataset.texts(limit=documents)))
    annotated = clock()
    figures: dict[str, Any] = {
        "threads": torch.get_num_threads(),
        "imports_cpu_s": imported[0] - start[0],
        "spacy_load_cpu_s": loaded[0] - imported[0],
        "first_document_cpu_s": ready[0] - loaded[0],
        "load_cpu_s": ready[0] - imported[0],
        "load_wall_s": ready[1] - imported[1],
        "annotate_cpu_s": annotated[0] - ready[0],
        "annotate_wall_s": annotated[1] - ready[1],
        "imports_peak_gib": imported_gib,
        "load_peak_gib": ready_gib,
        "peak_gib": peak_gib(),
        "entities": entities,
    }
    print(json.dumps(figures))


def clock() -> tuple[float, float]:
    """RETURNS (tuple[float, float]): CPU seconds of this process, and wall-clock seconds."""
    return time.process_time(), time.perf_counter()


if __name__ == "__main__":
    app()
