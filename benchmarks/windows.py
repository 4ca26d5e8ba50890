"""Scores by length of windows: sentences joined into one long document, cut into windows, scored
sentence by sentence.

Figure: docs/long_documents.md; results/windows.json.

python benchmarks/windows.py ../shared/data
"""

import time
from collections.abc import Sequence
from typing import Annotated, Any

import torch
import typer
from harness.datasets import find_datasets
from harness.gold_docs import to_adapter_doc
from harness.options import Data, Device, Lang
from harness.pipelines import component_of, config_pipeline, set_labels
from harness.results import write_results
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from wasabi import msg

from spacy_padellm.documents.windows import Windows
from spacy_padellm.pipeline.component import PadellmNER
from spacy_padellm.pipeline.scorer import ner_score

SETS = ("wikigold", "conll03")
SCORES = ("padellm_f", "padellm_p", "padellm_r", "ents_f")


def main(
    data: Data,
    sets: Annotated[str, typer.Option(help="Names of datasets; wikigold,conll03 if empty")] = "",
    lang: Lang = None,
    split: Annotated[str, typer.Option(help="Split of the datasets")] = "dev",
    limit: Annotated[int, typer.Option(min=1, help="First sentences of a dataset")] = 257,
    sizes: Annotated[
        str,
        typer.Option(help="Tokens of a window / of its overlap; 0 for each sentence on its own"),
    ] = "0,32/12,48/16,64/8,64/16,64/24,96/24,128/32,256/64,512/128,1024/256",
    device: Device = "cpu",
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch")] = 1,
    name: Annotated[str, typer.Option(help="Name of the results")] = "windows",
) -> None:
    """Score each length, in the datasets' own tokens; write results/windows.json."""
    torch.set_num_threads(threads)
    names = sets.split(",") if sets else None
    datasets = find_datasets(data, names, SETS, split=split, lang=lang)
    nlp = config_pipeline(settings={"model.device": device})
    ner = component_of(nlp)
    list(nlp.pipe(["Marie Curie left Warsaw."]))  # loads the weights
    figures: dict[str, Any] = {}
    for dataset in datasets:
        labels = set_labels(nlp, dataset, split)
        gold = [
            to_adapter_doc(record, labels, nlp.vocab, lang=dataset.lang)
            for record in dataset.records(split, limit)
        ]
        figures[dataset.name] = {
            "sentences": len(gold),
            "words": sum(map(len, gold)),
            "by_window": [measure(nlp, ner, gold, size) for size in sizes.split(",")],
        }
        header = ("tokens", "overlap", "windows", *SCORES, "crossing", "seconds")
        rows = [[str(row[key]) for key in header] for row in figures[dataset.name]["by_window"]]
        msg.table(rows, header=header, divider=True, title=dataset.name)
    write_results(name, {"split": split, "sets": figures}, device=device)


def measure(nlp: Language, ner: PadellmNER, gold: Sequence[Doc], size: str) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): The scores for one length of windows."""
    tokens, _, overlap = size.partition("/")
    if tokens == "0":
        ner.windows = Windows()
        docs = [joined(nlp, [doc]) for doc in gold]
    else:
        ner.windows = Windows(tokens=int(tokens), overlap=int(overlap or 0))
        docs = [joined(nlp, gold)]
    start = time.perf_counter()
    predictions = ner.decode(docs)
    seconds = time.perf_counter() - start
    spans = [ner.align(doc, pred).spans for doc, pred in zip(docs, predictions, strict=True)]
    ner.set_annotations(docs, spans)
    if tokens == "0":
        examples, crossing = [Example(*pair) for pair in zip(docs, gold, strict=True)], 0
    else:
        examples, crossing = split_examples(nlp, docs[0], gold)
    scores = ner_score(examples)
    row = {
        "tokens": int(tokens),
        "overlap": int(overlap or 0),
        "windows": sum(max(1, len(prediction.parts)) for prediction in predictions),
        **{key: round(100 * scores[key], 2) for key in SCORES},
        "crossing": crossing,
        "seconds": round(seconds, 1),
    }
    msg.info(str(row))
    return row


def joined(nlp: Language, parts: Sequence[Doc]) -> Doc:
    """RETURNS (Doc): One document of the tokens of several."""
    words = [token.text for part in parts for token in part]
    return Doc(nlp.vocab, words=words)


def split_examples(nlp: Language, doc: Doc, gold: Sequence[Doc]) -> tuple[list[Example], int]:
    """RETURNS (tuple[list[Example], int]): The sentences of a joined document with its entities,
    and the number of entities that cross sentences."""
    examples, n_kept, start = [], 0, 0
    for sentence in gold:
        part = joined(nlp, [sentence])
        end = start + len(sentence)
        ents = [
            Span(part, ent.start - start, ent.end - start, ent.label_)
            for ent in doc[start:end].ents
            if ent.start >= start and ent.end <= end
        ]
        part.set_ents(ents, default="outside")
        n_kept += len(ents)
        examples.append(Example(part, sentence))
        start = end
    return examples, len(doc.ents) - n_kept


if __name__ == "__main__":
    typer.run(main)
