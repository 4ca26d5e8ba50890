"""Resident memory of the shipped model in float32 and in int8, each in a fresh process.

Figure: docs/speed.md, "On a CPU"; results/int8_memory.json.

python benchmarks/int8_memory.py measure
"""

import json
from typing import Any

import typer
from harness.processes import peak_mib, resident_mib, run_child
from harness.results import write_results
from wasabi import msg

app = typer.Typer(help=__doc__, no_args_is_help=True)
WAYS: dict[str, list[str]] = {"float32": [], "int8": ["int8"]}


@app.command()
def measure() -> None:
    """Run `child` for each way, write results/int8_memory.json."""
    figures: dict[str, Any] = {}
    for name, args in WAYS.items():
        figures[name] = run_child(__file__, *args)
        msg.good(f"{name}: {figures[name]}")
    write_results("int8_memory", figures)


@app.command(hidden=True)
def child(quantize: str | None = typer.Argument(None)) -> None:
    """Import, load, print the figures as one line of JSON."""
    import peft  # noqa: F401
    import spacy
    import torch
    import transformers  # noqa: F401

    torch.set_num_threads(1)
    overrides = {"components.padellm_ner.model.quantize": quantize}
    config = spacy.util.load_config("configs/en_padellm.cfg", overrides=overrides)
    nlp = spacy.util.load_model_from_config(config, auto_fill=True)
    before = round(resident_mib() or 0)
    doc = nlp("Marie Curie left Warsaw for Paris.")
    figures = {
        "imports_mib": before,
        "resident_mib": round(resident_mib() or 0),
        "peak_mib": peak_mib(),
        "entities": len(doc.ents),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    app()
