"""What the length of windows does to quality: sentences joined into one long document, read in
windows, scored sentence by sentence.

python benchmarks/windows.py ../shared/data
"""

import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import shipped_adapter
import spacy
import torch
import typer
from results import write_results
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from wasabi import msg

from spacy_padellm.documents.windows import Windows
from spacy_padellm.pipeline.component import PadellmNER
from spacy_padellm.pipeline.scorer import ner_score

SETS = {
    "wikigold": shipped_adapter.LABELS["wikigold"],
    "conll03": shipped_adapter.LABELS["wikigold"],  # has the same four labels
}
SCORES = ("padellm_f", "padellm_p", "padellm_r", "ents_f")


def main(
    data: Path = typer.Argument(..., help="Folder of the sets, NAME/dev.jsonl"),
    sets: str = typer.Option("wikigold,conll03", help="The sets"),
    split: str = typer.Option("dev", help="Of the sets"),
    limit: int = typer.Option(257, min=1, help="Sentences of a set, from its first on"),
    sizes: str = typer.Option(
        "0,32/12,48/16,64/8,64/16,64/24,96/24,128/32,256/64,512/128,1024/256",
        help="Tokens of a window / of its overlap; 0 reads each sentence on its own",
    ),
    device: str = typer.Option("cpu", help="Where the model runs"),
    threads: int = typer.Option(1, min=1, help="Threads on a CPU"),
    name: str = typer.Option("windows", help="Of the JSON file"),
) -> None:
    """Scores for each length, in the sources' own tokens."""
    torch.set_num_threads(threads)
    config = spacy.util.load_config(
        Path(__file__).parents[1] / "configs/en_padellm.cfg",
        overrides={"components.padellm_ner.model.device": device},
    )
    nlp = spacy.util.load_model_from_config(config, auto_fill=True)
    ner = nlp.get_pipe("padellm_ner")
    assert isinstance(ner, PadellmNER)
    list(nlp.pipe(["Marie Curie left Warsaw."]))  # loads the weights
    figures: dict[str, Any] = {}
    for source in sets.split(","):
        shipped_adapter.LABELS[source] = SETS[source]
        records = islice(shipped_adapter.read(data, source, split), limit)
        gold = [shipped_adapter.to_doc(one, source, nlp.vocab, natural=False) for one in records]
        figures[source] = {
            "sentences": len(gold),
            "words": sum(map(len, gold)),
            "by_window": [measure(nlp, ner, gold, size) for size in sizes.split(",")],
        }
        header = ("tokens", "overlap", "windows", *SCORES, "crossing", "seconds")
        rows = [[str(row[key]) for key in header] for row in figures[source]["by_window"]]
        msg.table(rows, header=header, divider=True, title=source)
    write_results(name, {"split": split, "sets": figures}, device=device)


def measure(nlp: Language, ner: PadellmNER, gold: Sequence[Doc], size: str) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): The scores for one length of windows."""
    tokens, _, overlap = size.partition("/")
    if tokens == "0":
        ner.windows = Windows()
        docs = [joined(nlp, [one]) for one in gold]
    else:
        ner.windows = Windows(tokens=int(tokens), overlap=int(overlap or 0))
        docs = [joined(nlp, gold)]
    start = time.perf_counter()
    said = ner.decode(docs)
    seconds = time.perf_counter() - start
    found = [ner.align(doc, one).spans for doc, one in zip(docs, said, strict=True)]
    ner.set_annotations(docs, found)
    examples, crossing = apart(nlp, docs[0], gold) if tokens != "0" else alone(docs, gold)
    scores = ner_score(examples)
    row = {
        "tokens": int(tokens),
        "overlap": int(overlap or 0),
        "windows": sum(max(1, len(one.parts)) for one in said),
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


def alone(docs: Sequence[Doc], gold: Sequence[Doc]) -> tuple[list[Example], int]:
    """RETURNS (tuple[list[Example], int]): Sentences that were read alone."""
    return [Example(doc, one) for doc, one in zip(docs, gold, strict=True)], 0


def apart(nlp: Language, doc: Doc, gold: Sequence[Doc]) -> tuple[list[Example], int]:
    """RETURNS (tuple[list[Example], int]): The sentences of a joined document with its entities,
    and the number of those that lie in no one sentence."""
    examples, kept, at = [], 0, 0
    for one in gold:
        part = joined(nlp, [one])
        ents = [
            Span(part, ent.start - at, ent.end - at, ent.label_)
            for ent in doc[at : at + len(one)].ents
            if ent.start >= at and ent.end <= at + len(one)
        ]
        part.set_ents(ents, default="outside")
        kept += len(ents)
        examples.append(Example(part, one))
        at += len(one)
    return examples, len(doc.ents) - kept


if __name__ == "__main__":
    typer.run(main)
