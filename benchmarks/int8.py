"""int8 on a CPU: time and quality of the shipped model by each way of computing, side by side.

python benchmarks/int8.py ../shared/data
"""

import os
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import spacy
import torch
import typer
from results import write_results
from shipped_adapter import drop_unanswered, read, to_doc
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from wasabi import msg

from spacy_padellm.pipeline.scorer import ner_score

# conll03 was not trained on; its labels are those of wikigold
SETS = {"wikigold": "wikigold", "conll03": "wikigold", "wnut17": "wnut17"}
WAYS: dict[str, dict[str, Any]] = {
    "float32": {},
    "bfloat16": {"dtype": "bfloat16"},
    "int8": {"quantize": "int8"},
}
KEPT = ("padellm_p", "padellm_r", "padellm_f", "ents_f")


def main(
    data: Path = typer.Argument(..., help="Folder with wikigold, conll03, wnut17"),
    documents: int = typer.Option(100, min=1, help="Documents of each set, from its first on"),
    batch: int = typer.Option(20, min=1, help="Documents before the next way has its turn"),
    config: Path = Path("configs/en_padellm.cfg"),
) -> None:
    torch.set_num_threads(1)
    pipelines = {name: pipeline(config, settings) for name, settings in WAYS.items()}
    warm_up = "Marie Curie left Warsaw for Paris."
    for nlp in pipelines.values():
        nlp(warm_up)
    figures: dict[str, Any] = {
        "threads": 1,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "vnni": torch.cpu._is_vnni_supported(),
        "documents": documents,
        "load_average_before": [round(load, 2) for load in os.getloadavg()],
    }
    vocab = pipelines["float32"].vocab
    for name, labels in SETS.items():
        records = list(read(data, name, "test"))[:documents]
        golds = [to_doc(record, labels, vocab, natural=False) for record in records]
        figures[name] = compare(pipelines, golds, batch)
        for way, facts in figures[name].items():
            msg.good(f"{name} {way}: {facts}")
    figures["all"] = {
        way: {
            "speedup": total(figures, "float32") / total(figures, way),
            "agreeing": sum(figures[name][way]["documents_agreeing"] for name in SETS),
        }
        for way in WAYS
    }
    figures["load_average_after"] = [round(load, 2) for load in os.getloadavg()]
    write_results("int8", figures)


def pipeline(config: Path, settings: dict[str, Any]) -> Language:
    """RETURNS (Language): The default pipeline, computed in a way."""
    overrides = {f"components.padellm_ner.model.{name}": value for name, value in settings.items()}
    return spacy.util.load_model_from_config(
        spacy.util.load_config(config, overrides=overrides), auto_fill=True
    )


def total(figures: dict[str, Any], way: str) -> float:
    """RETURNS (float): Seconds of the process for all sets."""
    return sum(figures[name][way]["cpu_s"] for name in SETS)


def compare(
    pipelines: dict[str, Language], golds: list[Doc], batch: int
) -> dict[str, dict[str, Any]]:
    """Score and time pipelines by turns.

    pipelines (dict[str, Language]): By name; "float32" is what the others are compared with.
    golds (list[Doc]): Gold documents.
    batch (int): Documents of a turn.
    RETURNS (dict[str, dict[str, Any]]): Scores, seconds of the process, and the documents whose
        spans are those of float32, by pipeline.
    """
    seconds: dict[str, float] = defaultdict(float)
    said: dict[str, list[Doc]] = defaultdict(list)
    for start in range(0, len(golds), batch):
        for name, nlp in pipelines.items():
            docs = [copy_of(gold, nlp) for gold in golds[start : start + batch]]
            begin = time.process_time()
            said[name] += nlp.pipe(docs, batch_size=batch)
            seconds[name] += time.process_time() - begin
    figures = {}
    for name in pipelines:
        agreeing = sum(
            spans(doc) == spans(exact)
            for doc, exact in zip(said[name], said["float32"], strict=True)
        )
        examples = [
            Example(drop_unanswered(doc, gold), gold)
            for doc, gold in zip(said[name], golds, strict=True)
        ]
        scores = ner_score(examples)
        figures[name] = {
            "cpu_s": round(seconds[name], 2),
            "speedup": round(seconds["float32"] / seconds[name], 2),
            "documents_agreeing": agreeing,
            **{key: round(scores[key], 4) for key in KEPT},
        }
    return figures


def copy_of(gold: Doc, nlp: Language) -> Doc:
    """RETURNS (Doc): The same tokens, not annotated."""
    spaces = [bool(token.whitespace_) for token in gold]
    return Doc(nlp.vocab, words=[token.text for token in gold], spaces=spaces)


def spans(doc: Doc) -> set[tuple[int, int, str]]:
    """RETURNS (set[tuple[int, int, str]]): All spans that were found."""
    return {(span.start, span.end, span.label_) for span in doc.spans["padellm_ner"]}


if __name__ == "__main__":
    typer.run(main)
