"""Time and peak memory of one long document, by its length.

Figure: docs/long_documents.md; results/book.json, results/book_tiny.json.

python benchmarks/book.py measure ../shared/data --words 5000,20000
python benchmarks/book.py measure ../shared/data --words 5000,20000,200000 --tiny
"""

import json
import time
from itertools import cycle
from pathlib import Path
from typing import Any

import spacy
import torch
import typer
from harness.datasets import find_datasets
from harness.pipelines import component_of
from harness.processes import peak_gib, run_child
from harness.results import write_results
from spacy.language import Language
from wasabi import msg

ROOT = Path(__file__).parents[1]
TINY_PARAMS = {"max_count": 2, "max_mention_tokens": 4}  # a random model generates no end

app = typer.Typer(help=__doc__, no_args_is_help=True)


@app.command()
def measure(
    data: Path = typer.Argument(
        ..., help="Folder with wikigold and conll03, or one dataset's folder or file"
    ),
    words: str = typer.Option("5000,20000", help="Words of the book, a fresh process each"),
    tiny: bool = typer.Option(False, help="A tiny random network instead of the shipped pipeline"),
    threads: int = typer.Option(1, min=1, help="Threads of torch"),
    name: str = typer.Option("", help="Name of the results"),
) -> None:
    """Annotate books of these lengths, made of the datasets' documents in a row."""
    runs = []
    for n in words.split(","):
        options = ["--threads", threads, *(["--tiny"] if tiny else [])]
        runs.append(run_child(__file__, data, n, *options))
        msg.good(", ".join(f"{key} {value}" for key, value in runs[-1].items()))
        write_results(
            name or ("book_tiny" if tiny else "book"),
            {"network": "tiny, random" if tiny else "shipped", "runs": runs},
        )


@app.command(hidden=True)
def child(data: Path, words: int, tiny: bool = False, threads: int = 1) -> None:
    """Annotate one book; print the figures as one line of JSON."""
    torch.set_num_threads(threads)
    nlp = pipeline(tiny)
    nlp.max_length = 1 << 40
    nlp("Marie Curie left Warsaw for Paris.")  # loads the weights
    ready = peak_gib()
    doc = nlp.make_doc(book(data, words))
    made = peak_gib()
    start_cpu, start = time.process_time(), time.perf_counter()
    ner = component_of(nlp)
    (prediction,) = ner.decode([doc])
    decoded_cpu = time.process_time()
    ner.set_annotations([doc], [ner.align(doc, prediction).spans])
    figures = {
        "words": words,
        "characters": len(doc.text),
        "tokens": len(doc),
        "windows": len(prediction.parts),
        "window_tokens": ner.windows.tokens,
        "spans": len(doc.spans["padellm_ner"]),
        "entities": len(doc.ents),
        "decode_cpu_s": round(decoded_cpu - start_cpu, 1),
        "align_and_annotate_cpu_s": round(time.process_time() - decoded_cpu, 2),
        "wall_s": round(time.perf_counter() - start, 1),
        "words_a_cpu_second": round(words / (time.process_time() - start_cpu), 1),
        "peak_with_weights_gib": round(ready, 3),
        "peak_with_doc_gib": round(made, 3),
        "peak_gib": round(peak_gib(), 3),
    }
    print(json.dumps(figures))


def pipeline(tiny: bool) -> Language:
    """RETURNS (Language): The shipped pipeline, or one of a tiny random network with its
    tokenizer."""
    overrides: dict[str, Any] = {"paths.adapter": str(ROOT / "assets/adapter")}
    if tiny:
        overrides |= {f"components.padellm_ner.decoder.{k}": v for k, v in TINY_PARAMS.items()}
    config = spacy.util.load_config(ROOT / "configs/en_padellm.cfg", overrides=overrides)
    nlp = spacy.util.load_model_from_config(config, auto_fill=True)
    if tiny:
        from harness.shapes import BASE, random_model

        from spacy_padellm.model.network import load_codec
        from spacy_padellm.weights.resolver import resolve_weights

        codec = load_codec(resolve_weights(BASE).folder)
        component_of(nlp).shim._model = random_model("tiny", codec)
    return nlp


def book(data: Path, n_words: int) -> str:
    """RETURNS (str): The datasets' test documents in a row, repeated until there are enough
    words."""
    datasets = find_datasets(data, None, ("wikigold", "conll03"))
    texts = [text for dataset in datasets for text in dataset.texts()]
    chosen: list[str] = []
    for text in cycle(texts):
        chosen += text.split()
        if len(chosen) >= n_words:
            return " ".join(chosen[:n_words])
    raise ValueError(f"No documents in {data}")


if __name__ == "__main__":
    app()
