"""Tree decoder against replicated decoder: documents per second of `nlp.pipe`, by turns.

Figure: docs/speed.md, "On a CPU"; results/decoders.json.

python benchmarks/decoders.py ../shared/data
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Annotated, Any

import torch
import typer
from harness.datasets import find_datasets
from harness.options import Data, Lang, Sets, Threads, set_threads
from harness.pipelines import CONFIG, dataset_pipeline
from harness.results import write_results
from harness.timed_pipe import PipeRun, timed_run
from spacy.language import Language
from wasabi import msg

from spacy_padellm.decoding.replicated import make_replicated_decoder
from spacy_padellm.decoding.tree_decoder import make_tree_decoder
from spacy_padellm.documents.prediction import Prediction


def main(
    data: Data,
    sets: Sets = None,
    lang: Lang = None,
    documents: Annotated[int, typer.Option(min=1, help="First documents of each dataset")] = 100,
    repeat: Annotated[int, typer.Option(min=1, help="Runs of each decoder")] = 3,
    threads: Threads = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Batch size of nlp.pipe")] = 16,
    config: Annotated[Path, typer.Option(help="Config of the pipeline")] = CONFIG,
    name: Annotated[str, typer.Option(help="Name of the results")] = "decoders",
) -> None:
    """Time both decoders; write results/decoders.json."""
    set_threads(threads)
    figures: dict[str, Any] = {
        "threads": torch.get_num_threads(),
        "batch_size": batch_size,
        "load_average_before": [round(load, 2) for load in os.getloadavg()],
    }
    for dataset in find_datasets(data, sets, ("conll03", "weibo"), lang=lang):
        nlp = dataset_pipeline(config, dataset)
        texts = dataset.texts(limit=documents)
        figures[dataset.name] = compare(nlp, texts, repeat, batch_size)
        msg.good(f"{dataset.name}: {figures[dataset.name]}")
    figures["load_average_after"] = [round(load, 2) for load in os.getloadavg()]
    write_results(name, figures)


def compare(nlp: Language, texts: Sequence[str], repeat: int, batch_size: int) -> dict[str, Any]:
    """Time both decoders by turns, after a warm-up, and compare their predictions.

    nlp (Language): The pipeline; its decoder is replaced.
    texts (Sequence[str]): The documents.
    repeat (int): Number of runs of each decoder.
    batch_size (int): Batch size of nlp.pipe.
    RETURNS (dict[str, Any]): Documents per second (medians), their ratio, and the agreement.
    """
    decoders = {"tree": make_tree_decoder(), "replicated": make_replicated_decoder()}
    runs: dict[str, list[PipeRun]] = {kind: [] for kind in decoders}
    for decoder in decoders.values():
        timed_run(nlp, decoder, texts[:2], batch_size)
    for _ in range(repeat):
        for kind, decoder in decoders.items():
            runs[kind].append(timed_run(nlp, decoder, texts, batch_size))
    cpu = {kind: median(run.cpu for run in done) for kind, done in runs.items()}
    wall = {kind: median(run.wall for run in done) for kind, done in runs.items()}
    tree, replicated = runs["tree"][0].predictions, runs["replicated"][0].predictions
    return {
        "documents": len(texts),
        "docs_per_s": {kind: round(len(texts) / wall[kind], 3) for kind in decoders},
        "ratio": round(wall["replicated"] / wall["tree"], 2),
        "docs_per_cpu_s": {kind: round(len(texts) / cpu[kind], 3) for kind in decoders},
        "ratio_cpu": round(cpu["replicated"] / cpu["tree"], 2),
        "wall_s": {kind: [round(run.wall, 2) for run in done] for kind, done in runs.items()},
        "cpu_s": {kind: [round(run.cpu, 2) for run in done] for kind, done in runs.items()},
        "documents_agreeing": sum(
            list(_output(a)) == list(_output(b)) for a, b in zip(tree, replicated, strict=True)
        ),
        "mentions_per_document": mean(len(prediction.mentions) for prediction in tree),
        "mention_tokens_per_document": mean(
            sum(len(mention.logprobs) for mention in prediction.mentions) for prediction in tree
        ),
    }


def _output(prediction: Prediction) -> Iterator[tuple[str, Any]]:
    """YIELDS (tuple[str, Any]): Label and number of each count, then label and text of each
    mention."""
    for count in prediction.counts:
        yield count.label, count.number
    for mention in prediction.mentions:
        yield mention.label, mention.text


if __name__ == "__main__":
    typer.run(main)
