"""What one long document costs: time, and peak memory by its length.

python benchmarks/book.py measure ../shared/data --words 5000,20000
python benchmarks/book.py measure ../shared/data --words 5000,20000,200000 --tiny
"""

import json
import subprocess
import sys
import time
from itertools import cycle
from pathlib import Path
from typing import Any

import spacy
import srsly
import torch
import typer
from load_memory import peak_gib
from results import write_results
from spacy.language import Language
from wasabi import msg

from spacy_padellm.pipeline.component import PadellmNER

ROOT = Path(__file__).parents[1]
SETS = ("wikigold", "conll03")
TINY_BOUNDS = {"max_count": 2, "max_mention_tokens": 4}  # a random model goes on and on

app = typer.Typer(help=__doc__, no_args_is_help=True)


@app.command()
def measure(
    data: Path = typer.Argument(..., help="Folder of wikigold and conll03, NAME/test.jsonl"),
    words: str = typer.Option("5000,20000", help="Words of the book, a fresh process each"),
    tiny: bool = typer.Option(False, help="A tiny random network instead of the shipped pipeline"),
    threads: int = typer.Option(1, min=1, help="Of torch"),
    name: str = typer.Option("", help="Of the JSON file"),
) -> None:
    """Read books of these lengths, the sets' documents one behind the other."""
    runs = []
    for n in words.split(","):
        command = [sys.executable, __file__, "child", str(data), n, "--threads", str(threads)]
        command += ["--tiny"] if tiny else []
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        runs.append(json.loads(done.stdout.splitlines()[-1]))
        msg.good(", ".join(f"{key} {value}" for key, value in runs[-1].items()))
        write_results(
            name or ("book_tiny" if tiny else "book"),
            {"network": "tiny, random" if tiny else "shipped", "runs": runs},
        )


@app.command(hidden=True)
def child(data: Path, words: int, tiny: bool = False, threads: int = 1) -> None:
    """Read one book; print the figures as one line of JSON."""
    torch.set_num_threads(threads)
    nlp = pipeline(tiny)
    nlp.max_length = 1 << 40
    nlp("Marie Curie left Warsaw for Paris.")  # loads the weights
    ready = peak_gib()
    doc = nlp.make_doc(book(data, words))
    made = peak_gib()
    start_cpu, start = time.process_time(), time.perf_counter()
    ner = nlp.get_pipe("padellm_ner")
    assert isinstance(ner, PadellmNER)
    (said,) = ner.decode([doc])
    decoded_cpu = time.process_time()
    ner.set_annotations([doc], [ner.align(doc, said).spans])
    figures = {
        "words": words,
        "characters": len(doc.text),
        "tokens": len(doc),
        "windows": len(said.parts),
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
    """RETURNS (Language): The shipped pipeline; with a tiny random network in it, its tokenizer."""
    overrides: dict[str, Any] = {"paths.adapter": str(ROOT / "assets/adapter")}
    if tiny:
        overrides |= {f"components.padellm_ner.decoder.{k}": v for k, v in TINY_BOUNDS.items()}
    config = spacy.util.load_config(ROOT / "configs/en_padellm.cfg", overrides=overrides)
    nlp = spacy.util.load_model_from_config(config, auto_fill=True)
    if tiny:
        from shapes import random_model

        from spacy_padellm.model.network import load_codec
        from spacy_padellm.weights.resolver import resolve_weights

        ner = nlp.get_pipe("padellm_ner")
        assert isinstance(ner, PadellmNER)
        ner.shim._model = random_model("tiny", load_codec(resolve_weights("smollm2-135m").folder))
    return nlp


def book(data: Path, n_words: int) -> str:
    """RETURNS (str): The sets' test documents by turns, again from the first on where they end."""
    records = [
        record["text"] for name in SETS for record in srsly.read_jsonl(data / name / "test.jsonl")
    ]
    chosen: list[str] = []
    for text in cycle(records):
        chosen += text.split()
        if len(chosen) >= n_words:
            return " ".join(chosen[:n_words])
    raise ValueError(f"No documents in {data}")


if __name__ == "__main__":
    app()
