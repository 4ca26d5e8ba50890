"""Time and scores of the shipped model on a CPU in float32, bfloat16 and int8, by turns.

Figure: docs/speed.md, "On a CPU"; results/int8.json.

python benchmarks/int8.py ../shared/data
"""

import os
import time
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from harness.datasets import find_datasets
from harness.gold_docs import drop_unannotated, to_adapter_doc, without_annotation
from harness.options import Data, Lang, Sets
from harness.pipelines import CONFIG, config_pipeline, set_labels
from harness.results import write_results
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from wasabi import msg

from spacy_padellm.pipeline.scorer import ner_score

WAYS: dict[str, dict[str, Any]] = {
    "float32": {},
    "bfloat16": {"model.dtype": "bfloat16"},
    "int8": {"model.quantize": "int8"},
}
KEPT = ("padellm_p", "padellm_r", "padellm_f", "ents_f")


def main(
    data: Data,
    sets: Sets = None,
    lang: Lang = None,
    documents: Annotated[int, typer.Option(min=1, help="First documents of each dataset")] = 100,
    batch: Annotated[int, typer.Option(min=1, help="Documents of a turn")] = 20,
    config: Annotated[Path, typer.Option(help="Config of the pipeline")] = CONFIG,
    name: Annotated[str, typer.Option(help="Name of the results")] = "int8",
) -> None:
    """Score and time all three; write results/int8.json."""
    torch.set_num_threads(1)
    datasets = find_datasets(data, sets, ("wikigold", "conll03", "wnut17"), lang=lang)
    pipelines = {way: config_pipeline(config, settings) for way, settings in WAYS.items()}
    for nlp in pipelines.values():
        nlp("Marie Curie left Warsaw for Paris.")  # loads the weights
    figures: dict[str, Any] = {
        "threads": 1,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "vnni": torch.cpu._is_vnni_supported(),
        "documents": documents,
        "load_average_before": [round(load, 2) for load in os.getloadavg()],
    }
    vocab = pipelines["float32"].vocab
    for dataset in datasets:
        for nlp in pipelines.values():
            labels = set_labels(nlp, dataset)
        golds = [
            to_adapter_doc(record, labels, vocab, lang=dataset.lang)
            for record in dataset.records(limit=documents)
        ]
        figures[dataset.name] = compare(pipelines, golds, batch)
        for way, row in figures[dataset.name].items():
            msg.good(f"{dataset.name} {way}: {row}")
    rows = [figures[dataset.name] for dataset in datasets]
    seconds = {way: sum(row[way]["cpu_s"] for row in rows) for way in WAYS}
    figures["all"] = {
        way: {
            "speedup": seconds["float32"] / seconds[way],
            "agreeing": sum(row[way]["documents_agreeing"] for row in rows),
        }
        for way in WAYS
    }
    figures["load_average_after"] = [round(load, 2) for load in os.getloadavg()]
    write_results(name, figures)


def compare(
    pipelines: dict[str, Language], golds: list[Doc], batch: int
) -> dict[str, dict[str, Any]]:
    """Score and time pipelines by turns.

    pipelines (dict[str, Language]): Pipelines by name; "float32" is the one that the others are
        compared with.
    golds (list[Doc]): Gold documents.
    batch (int): Documents of a turn.
    RETURNS (dict[str, dict[str, Any]]): By pipeline the scores, CPU seconds of the process, and
        number of documents with the spans of float32.
    """
    seconds: dict[str, float] = defaultdict(float)
    docs: dict[str, list[Doc]] = defaultdict(list)
    for start in range(0, len(golds), batch):
        for name, nlp in pipelines.items():
            blank = [without_annotation(gold, nlp.vocab) for gold in golds[start : start + batch]]
            begin = time.process_time()
            docs[name] += nlp.pipe(blank, batch_size=batch)
            seconds[name] += time.process_time() - begin
    figures = {}
    for name in pipelines:
        agreeing = sum(
            _spans(doc) == _spans(exact)
            for doc, exact in zip(docs[name], docs["float32"], strict=True)
        )
        examples = [
            Example(drop_unannotated(doc, gold), gold)
            for doc, gold in zip(docs[name], golds, strict=True)
        ]
        scores = ner_score(examples)
        figures[name] = {
            "cpu_s": round(seconds[name], 2),
            "speedup": round(seconds["float32"] / seconds[name], 2),
            "documents_agreeing": agreeing,
            **{key: round(scores[key], 4) for key in KEPT},
        }
    return figures


def _spans(doc: Doc) -> set[tuple[int, int, str]]:
    return {(span.start, span.end, span.label_) for span in doc.spans["padellm_ner"]}


if __name__ == "__main__":
    typer.run(main)
