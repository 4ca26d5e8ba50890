"""Scores of a pipeline with the substring constraint and without it.

python benchmarks/constraint.py ../shared/data build/en_padellm
python benchmarks/constraint.py ../shared/data training/weibo/model-best --set weibo
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import corpora
import decoders
import shipped_adapter
import spacy
import torch
import typer
from results import write_results
from shipped_adapter import drop_unanswered
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from wasabi import msg

from spacy_padellm.evaluation.evaluation import evaluate
from spacy_padellm.pipeline.component import PadellmNER
from spacy_padellm.pipeline.loading import find_component
from spacy_padellm.pipeline.scorer import ner_score
from spacy_padellm.training.annotated_labels import ANNOTATED_LABELS

SETS = ("conll03", "wnut17", "weibo")
MEASURES = ("padellm_f", "padellm_p", "padellm_r", "ents_f", "ents_p", "ents_r", "not_in_text")
# Labels of sets under the names that a pipeline of another set may have for them.
RENAMED = {**shipped_adapter.LABELS, "conll03": decoders.SETS["conll03"][1]}


def main(
    data: Path = typer.Argument(..., help="Folder with NAME/test.jsonl"),
    pipelines: list[Path] = typer.Argument(..., help="Folders of pipelines"),
    sets: list[str] = typer.Option(list(SETS), "--set"),
    limit: int = typer.Option(0, min=0, help="Documents of each set; 0 for all"),
    batch_size: int = typer.Option(128, min=1),
    device: str | None = typer.Option(None, help="torch's name of it; None for the pipeline's"),
    threads: int | None = typer.Option(None, min=1, help="Of torch; its own choice if not given"),
    name: str = typer.Option("constraint", help="Of the results"),
) -> None:
    """Score test sets with the constraint on and off; print a table, write results/*.json."""
    if threads is not None:
        torch.set_num_threads(threads)
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
        figures[str(path)] = found = {}
        for one in sets:
            ours = names_of(one, find_component(nlp).labels, labels_in(data, one))
            if ours is None:
                msg.warn(f"{path}: {one} is left out, the pipeline does not know its labels")
                continue
            docs = gold_docs(data, one, nlp, ours, limit)
            found[one] = {"documents": len(docs), **compare(nlp, docs, batch_size)}
            write_results(name, figures, device=device)
        print_scores(str(path), found)


def labels_in(data: Path, name: str) -> set[str]:
    """RETURNS (set[str]): The labels of a test set's spans."""
    records = corpora.read_lines(data / name / "test.jsonl")
    return {span["label"] for record in records for span in record["spans"]}


def names_of(name: str, known: Sequence[str], labels: set[str]) -> dict[str, str] | None:
    """What a pipeline calls the labels of a set.

    name (str): The set.
    known (Sequence[str]): The pipeline's labels.
    labels (set[str]): The set's labels.
    RETURNS (dict[str, str] | None): For each label its name; labels that are not in it are left
        out of the gold. None where the pipeline does not know them.
    """
    if labels <= set(known):
        return {label: label for label in labels}
    ours = RENAMED.get(name, {})
    return dict(ours) if ours and set(ours.values()) <= set(known) else None


def gold_docs(
    data: Path, name: str, nlp: Language, ours: Mapping[str, str], limit: int
) -> list[Doc]:
    """RETURNS (list[Doc]): Gold documents in the set's own tokens, which answer for the labels that
    the pipeline has a name for."""
    lang = corpora.SETS[name][0]
    docs = []
    for record in islice(corpora.read_lines(data / name / "test.jsonl"), limit or None):
        spans = [
            {**span, "label": ours[span["label"]]}
            for span in record["spans"]
            if span["label"] in ours
        ]
        doc = corpora.to_doc({**record, "spans": spans}, nlp.vocab, lang)
        doc.user_data[ANNOTATED_LABELS] = sorted(set(ours.values()))
        docs.append(doc)
    return docs


def compare(nlp: Language, docs: Sequence[Doc], batch_size: int) -> dict[str, dict[str, Any]]:
    """Score a pipeline with its decoder's constraint on and off.

    nlp (Language): The pipeline.
    docs (Sequence[Doc]): Gold documents.
    batch_size (int): Documents that go through together.
    RETURNS (dict[str, dict[str, Any]]): For "on" and "off": MEASURES, shares in [0, 1], and the
        seconds that it took. Entities of labels that the gold does not answer for are not counted.
    """
    ner = find_component(nlp)
    assert isinstance(ner, PadellmNER)
    shipped = ner.decoder
    if "constrained" not in {field.name for field in fields(shipped)}:
        msg.fail(f"{type(shipped).__name__} has no setting constrained", exits=1)
    found = {}
    try:
        for name, constrained in (("off", False), ("on", True)):
            ner.decoder = replace(shipped, constrained=constrained)
            examples = [Example(_unannotated(doc), doc) for doc in docs]
            evaluation = evaluate(nlp, ner, examples, batch_size=batch_size)
            for outcome in evaluation.outcomes:
                drop_unanswered(outcome.example.predicted, outcome.example.reference)
            scores = ner_score(outcome.example for outcome in evaluation.outcomes)
            mentions = evaluation.metrics["mentions"]
            scores["not_in_text"] = mentions["unaligned"]["not_in_text"]["share"]
            found[name] = {
                **{measure: scores[measure] for measure in MEASURES},
                "mentions_said": mentions["said"],
                "seconds": evaluation.metrics["speed"]["seconds"],
            }
    finally:
        ner.decoder = shipped
    return found


def print_scores(title: str, figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Print scores, two rows a set."""
    rows = [
        [
            name,
            way,
            *("" if one[way][m] is None else f"{100 * one[way][m]:.2f}" for m in MEASURES),
        ]
        for name, one in figures.items()
        for way in ("off", "on")
    ]
    header = ["set", "constraint", *MEASURES[:-1], "not in text, %"]
    msg.divider(title)
    msg.table(rows, header=header, divider=True, aligns=["l", "l", *["r"] * len(MEASURES)])


def _unannotated(doc: Doc) -> Doc:
    return Doc(
        doc.vocab,
        words=[token.text for token in doc],
        spaces=[bool(token.whitespace_) for token in doc],
    )


if __name__ == "__main__":
    typer.run(main)
