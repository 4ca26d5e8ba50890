"""Write a displaCy page of a trained pipeline's entities in a corpus, with the gold entities."""

import warnings
from collections.abc import Iterable
from pathlib import Path

import typer
from spacy import displacy
from spacy.tokens import Doc, DocBin
from wasabi import msg

from spacy_padellm.pipeline.loading import load_pipeline


def main(
    pipeline: Path = typer.Argument(..., help="Trained pipeline"),
    corpus: Path = typer.Argument(..., help="Gold documents as .spacy file"),
    html_path: Path = typer.Argument(..., help="Page to write"),
    limit: int = typer.Option(100, min=1, help="Maximum number of documents shown"),
    batch_size: int = typer.Option(16, min=1, help="Documents decoded together"),
    gpu_id: int = typer.Option(-1, "--gpu-id", help="GPU to use, -1 for the device of the config"),
) -> None:
    nlp = load_pipeline(pipeline, gpu_id)
    gold = list(DocBin().from_disk(corpus).get_docs(nlp.vocab))
    if not gold:
        msg.fail(f"{corpus} holds no documents", exits=1)
    shown = gold[:limit]
    predicted = nlp.pipe((doc.text for doc in shown), batch_size=batch_size)
    html_path.parent.mkdir(parents=True, exist_ok=True)
    html_path.write_text(page(predicted, shown), encoding="utf8")
    left_out = f", {len(gold) - len(shown)} more are not shown" if len(gold) > len(shown) else ""
    msg.good(f"{len(shown)} documents in {html_path}{left_out}")


def page(docs: Iterable[Doc], gold: Iterable[Doc]) -> str:
    """Render documents with their predicted entities, and with the gold entities if they differ.

    docs (Iterable[Doc]): Documents with predicted entities.
    gold (Iterable[Doc]): The same texts with gold entities.
    RETURNS (str): An HTML page.
    """
    shown = []
    for predicted, annotated in zip(docs, gold, strict=True):
        shown.append(predicted)
        if entities(predicted) != entities(annotated):
            annotated.user_data["title"] = "annotated:"
            shown.append(annotated)
    with warnings.catch_warnings():
        # spaCy warns of texts without entities, which are valid results here.
        warnings.filterwarnings("ignore", message=r"\[W006\]")
        return displacy.render(shown, style="ent", page=True, jupyter=False)


def entities(doc: Doc) -> set[tuple[int, int, str]]:
    """RETURNS (set[tuple[int, int, str]]): (start_char, end_char, label) of each entity."""
    return {(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents}


if __name__ == "__main__":
    typer.run(main)
