"""Scores of a pipeline with the substring constraint and without it.

Figure: results/constraint.json.

python -m spacy assemble configs/en_padellm.cfg build/en_padellm
python benchmarks/constraint.py ../shared/data build/en_padellm
python benchmarks/constraint.py ../shared/data training/weibo/model-best --set weibo
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any

import spacy
import typer
from harness.datasets import Dataset, find_datasets
from harness.gold_docs import drop_unannotated, to_doc, without_annotation
from harness.label_names import ADAPTER_LABELS
from harness.options import Data, Lang, ResultName, Sets, Threads, set_threads
from harness.results import write_results
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from wasabi import msg

from spacy_padellm.evaluation.evaluation import evaluate
from spacy_padellm.pipeline.component import PadellmNER
from spacy_padellm.pipeline.loading import find_component
from spacy_padellm.pipeline.scorer import ner_score
from spacy_padellm.training.annotated_labels import ANNOTATED_LABELS

MEASURES = ("padellm_f", "padellm_p", "padellm_r", "ents_f", "ents_p", "ents_r", "not_in_text")


def main(
    data: Data,
    pipelines: Annotated[list[Path], typer.Argument(help="Folders of pipelines")],
    sets: Sets = None,
    lang: Lang = None,
    limit: Annotated[
        int, typer.Option(min=0, help="First documents of each dataset; 0 for all")
    ] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Batch size of nlp.pipe")] = 128,
    device: Annotated[
        str | None, typer.Option(help="torch's name of the device; the pipeline's if not given")
    ] = None,
    threads: Threads = None,
    name: ResultName = "constraint",
) -> None:
    """Score test sets with the constraint on and off; write results/constraint.json."""
    set_threads(threads)
    datasets = find_datasets(data, sets, ("conll03", "wnut17", "weibo"), lang=lang)
    figures: dict[str, Any] = {}
    for path in pipelines:
        if not (path / "config.cfg").is_file():
            msg.fail(
                f"There is no pipeline at {path}",
                "python -m spacy assemble configs/en_padellm.cfg build/en_padellm makes one.",
                exits=1,
            )
        overrides = {} if device is None else {"components.padellm_ner.model.device": device}
        nlp = spacy.load(path, config=overrides)
        figures[str(path)] = scores = {}
        for dataset in datasets:
            labels = labels_of_pipeline(
                dataset.name, find_component(nlp).labels, dataset.span_labels()
            )
            if labels is None:
                msg.warn(f"{path}: {dataset.name} is left out, the pipeline lacks its labels")
                continue
            docs = gold_docs(dataset, nlp, labels, limit)
            scores[dataset.name] = {"documents": len(docs), **compare(nlp, docs, batch_size)}
            write_results(name, figures, device=device)
        print_scores(str(path), scores)


def labels_of_pipeline(name: str, known: Sequence[str], labels: set[str]) -> dict[str, str] | None:
    """Map the labels of a dataset to those of a pipeline.

    name (str): Name of the dataset.
    known (Sequence[str]): The pipeline's labels.
    labels (set[str]): The dataset's labels.
    RETURNS (dict[str, str] | None): The pipeline's label for each label of the dataset; spans of
        other labels are left out of the gold. None if the pipeline lacks the labels.
    """
    if labels <= set(known):
        return {label: label for label in labels}
    renamed = ADAPTER_LABELS.get(name, {})
    return dict(renamed) if renamed and set(renamed.values()) <= set(known) else None


def gold_docs(dataset: Dataset, nlp: Language, labels: Mapping[str, str], limit: int) -> list[Doc]:
    """RETURNS (list[Doc]): Gold documents in the dataset's own tokens, annotated for the labels
    that the pipeline has."""
    docs = []
    for record in dataset.records(limit=limit):
        spans = [
            {**span, "label": labels[span["label"]]}
            for span in record["spans"]
            if span["label"] in labels
        ]
        doc = to_doc({**record, "spans": spans}, nlp.vocab, dataset.lang)
        doc.user_data[ANNOTATED_LABELS] = sorted(set(labels.values()))
        docs.append(doc)
    return docs


def compare(nlp: Language, docs: Sequence[Doc], batch_size: int) -> dict[str, dict[str, Any]]:
    """Score a pipeline with its decoder's constraint on and off.

    nlp (Language): The pipeline.
    docs (Sequence[Doc]): Gold documents.
    batch_size (int): Batch size of nlp.pipe.
    RETURNS (dict[str, dict[str, Any]]): For "on" and "off": MEASURES, shares in [0, 1], and the
        seconds. Entities of labels that the gold is not annotated for are not counted.
    """
    ner = find_component(nlp)
    assert isinstance(ner, PadellmNER)
    shipped = ner.decoder
    if "constrained" not in {field.name for field in fields(shipped)}:
        msg.fail(f"{type(shipped).__name__} has no setting constrained", exits=1)
    figures = {}
    try:
        for name, constrained in (("off", False), ("on", True)):
            ner.decoder = replace(shipped, constrained=constrained)
            examples = [Example(without_annotation(doc), doc) for doc in docs]
            evaluation = evaluate(nlp, ner, examples, batch_size=batch_size)
            for outcome in evaluation.outcomes:
                drop_unannotated(outcome.example.predicted, outcome.example.reference)
            scores = ner_score(outcome.example for outcome in evaluation.outcomes)
            mentions = evaluation.metrics["mentions"]
            scores["not_in_text"] = mentions["unaligned"]["not_in_text"]["share"]
            figures[name] = {
                **{measure: scores[measure] for measure in MEASURES},
                "mentions_said": mentions["said"],
                "seconds": evaluation.metrics["speed"]["seconds"],
            }
    finally:
        ner.decoder = shipped
    return figures


def print_scores(title: str, figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Print scores, two rows per dataset."""
    rows = [
        [
            name,
            way,
            *("" if row[way][m] is None else f"{100 * row[way][m]:.2f}" for m in MEASURES),
        ]
        for name, row in figures.items()
        for way in ("off", "on")
    ]
    header = ["set", "constraint", *MEASURES[:-1], "not in text, %"]
    msg.divider(title)
    msg.table(rows, header=header, divider=True, aligns=["l", "l", *["r"] * len(MEASURES)])


if __name__ == "__main__":
    typer.run(main)
