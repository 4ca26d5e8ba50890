"""Run an assembled pipeline on a JSONL file and show the entities with their probabilities."""

import time
import warnings
from collections.abc import Iterable, Iterator
from html import escape
from itertools import chain
from pathlib import Path

import spacy
import srsly
import typer
from spacy import displacy
from spacy.tokens import Doc
from wasabi import msg

SPANS_KEY = "padellm_ner"
COLOURS = {
    "person": "#f7c6c7",
    "organisation": "#bfdbf7",
    "location": "#c8e6c9",
    "miscellaneous": "#fde7a9",
}
TEXT_WIDTH = 46
ENTITY_WIDTH = 28


def main(
    pipeline: Path = typer.Argument(Path("build/en_padellm"), help="Assembled pipeline"),
    texts_path: Path = typer.Argument(Path("assets/sample.jsonl"), help='{"text": …} on each line'),
    html_path: Path = typer.Argument(Path("build/demo.html"), help="displaCy page to write"),
    batch_size: int = typer.Option(16, min=1, help="Documents decoded together"),
) -> None:
    if not pipeline.is_dir():
        msg.fail(f"No pipeline in {pipeline}", "Run `make demo`, or `spacy assemble`.", exits=1)
    texts = read_texts(texts_path)

    start = time.perf_counter()
    nlp = spacy.load(pipeline)
    # The first document loads the weights; its time is not part of the throughput.
    nlp(texts[0])
    load_seconds = time.perf_counter() - start

    start = time.perf_counter()
    docs = list(nlp.pipe(texts, batch_size=batch_size))
    seconds = time.perf_counter() - start

    msg.table(
        list(table_rows(docs)),
        header=("Text", "Entity", "Label", "Probability"),
        aligns=("l", "l", "l", "r"),
        divider=True,
        max_col=TEXT_WIDTH,
    )
    write_html(docs, html_path)
    msg.good(
        f"{len(docs)} documents, {sum(len(doc.ents) for doc in docs)} entities in {seconds:.2f} s: "
        f"{len(docs) / seconds:.1f} documents a second (loading and first document: "
        f"{load_seconds:.1f} s)"
    )
    msg.info(f"Open {html_path} in a browser to see the entities in their texts")


def read_texts(path: Path) -> list[str]:
    """Read the texts of a JSONL file.

    path (Path): The file, an object with the key "text" on each line.
    RETURNS (list[str]): The texts, in the file's order; at least one.
    """
    try:
        records = list(srsly.read_jsonl(path))
    except ValueError as error:
        msg.fail(f"{path} is not a readable JSONL file", error, exits=1)
    texts = []
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict) or not isinstance(record.get("text"), str):
            msg.fail(f'{path}: record {number} has no string under "text"', exits=1)
        texts.append(record["text"])
    if not texts:
        msg.fail(f"{path} holds no texts", exits=1)
    return texts


def table_rows(docs: Iterable[Doc]) -> Iterator[tuple[str, str, str, str]]:
    """Build one table row per entity; only the first row of a document has its text.

    docs (Iterable[Doc]): Annotated documents.
    YIELDS (tuple[str, str, str, str]): Text, entity, label and probability.
    """
    for doc in docs:
        text = shorten(doc.text, TEXT_WIDTH)
        if not doc.ents:
            yield text, "–", "", ""
        probabilities = span_probabilities(doc)
        for ent in doc.ents:
            probability = probabilities[ent.start, ent.end, ent.label_]
            yield text, shorten(ent.text, ENTITY_WIDTH), ent.label_, f"{probability:.3f}"
            text = ""


def span_probabilities(doc: Doc) -> dict[tuple[int, int, str], float]:
    """Map each scored span to its probability.

    doc (Doc): An annotated document.
    RETURNS (dict[tuple[int, int, str], float]): (start, end, label) → probability, 0 to 1.
    """
    if SPANS_KEY not in doc.spans:
        return {}
    group = doc.spans[SPANS_KEY]
    return {
        (span.start, span.end, span.label_): float(score)
        for span, score in zip(group, group.attrs["scores"], strict=True)
    }


def shorten(text: str, width: int) -> str:
    """RETURNS (str): A text on one line, cut to a width in characters with an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def write_html(docs: list[Doc], path: Path) -> None:
    """Write a displaCy page of all documents.

    docs (list[Doc]): Annotated documents.
    path (Path): The page; its folder is created if it is missing.
    """
    with warnings.catch_warnings():
        # spaCy warns of texts without entities, which are valid results here.
        warnings.filterwarnings("ignore", message=r"\[W006\]")
        parsed = [displacy.parse_ents(doc) for doc in docs]
        for ent in chain.from_iterable(doc["ents"] for doc in parsed):
            ent["label"] = escape(ent["label"])  # displaCy escapes the text, but not the labels
        html = displacy.render(
            parsed, style="ent", page=True, manual=True, jupyter=False, options={"colors": COLOURS}
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html, encoding="utf8")


if __name__ == "__main__":
    typer.run(main)
