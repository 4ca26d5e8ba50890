"""Spans, their order and their scores of a pipeline before and after a change of the code.

Figure: none; a change that must not alter results is checked with it. Only spaCy's public API is
used, so that `dump` runs on any commit: PYTHONPATH names its checkout.

python -m spacy assemble configs/en_padellm.cfg build/en_padellm
PYTHONPATH=../before python benchmarks/same_results.py dump build/en_padellm ../shared/data a.json
PYTHONPATH=. python benchmarks/same_results.py dump build/en_padellm ../shared/data b.json
python benchmarks/same_results.py compare a.json b.json
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import spacy
import srsly
import torch
import typer
from harness.datasets import find_datasets
from spacy.language import Language
from wasabi import msg

Row = dict[str, Any]
SETS = ("conll03", "wikigold", "wnut17", "weibo", "btc")
TOLERANCE = 1e-6
SCORES = ("scores", "text_scores")

app = typer.Typer(help=__doc__, no_args_is_help=True)


@app.command()
def dump(
    pipeline: Path = typer.Argument(..., help="Folder of a pipeline"),
    data: Path = typer.Argument(..., help="Folder of datasets, or one dataset's folder or file"),
    output: Path = typer.Argument(..., help="JSON file to write"),
    sets: str = typer.Option("", help=f"Names of datasets; {','.join(SETS)} if empty"),
    documents: int = typer.Option(100, min=1, help="First documents of each dataset"),
    threads: int = typer.Option(1, min=1, help="Threads of torch"),
    batch_size: int = typer.Option(16, min=1, help="Batch size of nlp.pipe"),
    component: str = typer.Option("padellm_ner", help="Name of the component"),
) -> None:
    """Decode documents in float32 on a CPU; write their spans and scores."""
    torch.set_num_threads(threads)
    model = f"components.{component}.model"
    nlp = spacy.load(pipeline, config={f"{model}.device": "cpu", f"{model}.dtype": "float32"})
    spans_key = nlp.config["components"][component]["spans_key"]
    rows = []
    for dataset in find_datasets(data, sets.split(",") if sets else None, SETS):
        texts = dataset.texts(limit=documents)
        rows += [{"set": dataset.name, **row} for row in decode(nlp, texts, spans_key, batch_size)]
        msg.info(f"{dataset.name}: {len(texts)} documents")
    srsly.write_json(output, rows)
    msg.good(f"Wrote {output}")


def decode(nlp: Language, texts: list[str], spans_key: str, batch_size: int = 16) -> Iterator[Row]:
    """Decode texts with a pipeline.

    nlp (Language): The pipeline.
    texts (list[str]): The texts.
    spans_key (str): Key of doc.spans.
    batch_size (int): Batch size of nlp.pipe.
    YIELDS (Row): "text"; "ents" and "spans", as start token, end token and label in the order of
        doc.ents and doc.spans; "scores" and "text_scores", one per span.
    """
    for doc in nlp.pipe(texts, batch_size=batch_size):
        group = doc.spans[spans_key]
        yield {
            "text": doc.text,
            "ents": [(ent.start, ent.end, ent.label_) for ent in doc.ents],
            "spans": [(span.start, span.end, span.label_) for span in group],
            **{key: [float(score) for score in group.attrs.get(key, [])] for key in SCORES},
        }


@app.command()
def compare(
    before: Path = typer.Argument(..., help="JSON file that `dump` wrote"),
    after: Path = typer.Argument(..., help="Another one, of the same documents"),
    tolerance: float = typer.Option(TOLERANCE, help="Largest difference of scores"),
) -> None:
    """Compare two files; exit with 1 if spans differ, or scores by more than the tolerance."""
    old, new = srsly.read_json(before), srsly.read_json(after)
    if [(row["set"], row["text"]) for row in old] != [(row["set"], row["text"]) for row in new]:
        msg.fail(f"{before} and {after} are of different documents", exits=1)
    figures = differences(old, new)
    for text in figures["differing"]:
        msg.warn(f"Different spans: {text!r}")
    figures["differing"] = len(figures["differing"])
    msg.table(figures)
    if figures["differing"] or figures["largest_difference"] > tolerance:
        msg.fail("The results differ", exits=1)
    msg.good(f"{len(old)} documents: same spans in the same order, scores within {tolerance}")


def differences(old: list[Row], new: list[Row]) -> dict[str, Any]:
    """Compare rows of the same documents.

    old, new (list[Row]): Rows of `decode`.
    RETURNS (dict[str, Any]): Number of "documents", "spans" and "ents"; "differing", the texts
        whose ents or spans differ or are in another order; "largest_difference" of the scores of
        all other texts, infinite if one has another number of them.
    """
    differing, largest = [], 0.0
    for a, b in zip(old, new, strict=True):
        if any(list(map(list, a[key])) != list(map(list, b[key])) for key in ("ents", "spans")):
            differing.append(a["text"])
            continue
        for key in SCORES:
            if len(a[key]) != len(b[key]):
                largest = float("inf")
            pairs = zip(a[key], b[key], strict=False)
            largest = max([largest, *(abs(x - y) for x, y in pairs)])
    return {
        "documents": len(old),
        "spans": sum(len(row["spans"]) for row in old),
        "ents": sum(len(row["ents"]) for row in old),
        "differing": differing,
        "largest_difference": largest,
    }


if __name__ == "__main__":
    app()
