"""Memory of the shipped model in float32 and in int8, each in a fresh process.

python benchmarks/int8_memory.py measure
"""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import typer
from results import write_results
from wasabi import msg

app = typer.Typer(help=__doc__, no_args_is_help=True)
KIB_PER_MIB = 2**10
WAYS: dict[str, str | None] = {"float32": None, "int8": "int8"}


@app.command()
def measure() -> None:
    """Run `child` for each way, and write what it says."""
    figures: dict[str, Any] = {}
    for name, quantize in WAYS.items():
        command = [sys.executable, __file__, "child", *([quantize] if quantize else [])]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        figures[name] = json.loads(done.stdout.splitlines()[-1])
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
    before = resident_mib()
    doc = nlp("Marie Curie left Warsaw for Paris.")
    figures = {
        "imports_mib": before,
        "resident_mib": resident_mib(),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MIB),
        "entities": len(doc.ents),
    }
    print(json.dumps(figures))


def resident_mib() -> int:
    """RETURNS (int): Memory that this process holds now, in MiB. Runs on Linux."""
    lines = Path("/proc/self/status").read_text(encoding="utf8").splitlines()
    (kib,) = (line.split()[1] for line in lines if line.startswith("VmRSS"))
    return round(int(kib) / KIB_PER_MIB)


if __name__ == "__main__":
    app()
