"""Resident memory of `annotate` over many documents, with spaCy's memory zones and without.

Figure: docs/annotate.md and docs/plots/annotate_memory.svg; results/annotate_memory.json.

python benchmarks/annotate_memory.py measure
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from harness.processes import resident_mib
from harness.results import write_results
from harness.tiny_pipeline import texts, write_pipeline
from wasabi import msg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

app = typer.Typer(help=__doc__, no_args_is_help=True)
PLOT = Path(__file__).parents[1] / "docs" / "plots" / "annotate_memory.svg"
WAYS = {"with memory zones": True, "without": False}


@app.command()
def measure(
    documents: int = typer.Option(100_000, min=1000),
    early: int = typer.Option(
        10_000, min=1, help="Documents of the sample that the end is compared with"
    ),
) -> None:
    """Run `child` for each way and sample its memory; write JSON and the plot."""
    figures: dict[str, Any] = {"documents": documents, "early": early, "ways": {}}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        pipeline = write_pipeline(folder)
        source = folder / "source.jsonl"
        with source.open("w", encoding="utf8") as file:
            file.writelines(json.dumps({"text": text}) + "\n" for text in texts(documents))
        for number, (name, zones) in enumerate(WAYS.items()):
            samples = watch(pipeline, source, folder / f"output-{number}", zones=zones)
            at_early = next(mib for done, mib in samples if done >= early)
            end = samples[-1][1]
            figures["ways"][name] = {
                "early_mib": at_early,
                "end_mib": end,
                "ratio": round(end / at_early, 4),
                "samples": samples,
            }
            msg.good(f"{name}: {at_early} MiB after {early} documents, {end} after {documents}")
    write_results("annotate_memory", figures)
    PLOT.parent.mkdir(parents=True, exist_ok=True)
    plot(figures["ways"]).savefig(PLOT, bbox_inches="tight", metadata={"Date": None})
    msg.info(f"Wrote {PLOT}")


def watch(pipeline: Path, source: Path, output: Path, *, zones: bool) -> list[tuple[int, float]]:
    """RETURNS (list[tuple[int, float]]): Finished documents and resident MiB after each shard; the
    last pair after the last document."""
    paths = map(str, (pipeline, source, output))
    option = "--zones" if zones else "--no-zones"
    process = subprocess.Popen([sys.executable, __file__, "child", *paths, option])
    samples: list[tuple[int, float]] = []
    while process.poll() is None:
        done = documents_done(output)
        resident = resident_mib(process.pid)
        if resident and done and (not samples or done > samples[-1][0]):
            samples.append((done, resident))
        time.sleep(0.02)
    if process.returncode:
        raise RuntimeError(f"The run ended with exit code {process.returncode}")
    return samples


@app.command(hidden=True)
def child(pipeline: str, source: Path, output: Path, zones: bool = True) -> None:
    """Annotate in this process."""
    import torch
    from spacy.language import Language

    from spacy_padellm.annotate.job import Job
    from spacy_padellm.annotate.run import annotate_files

    torch.set_num_threads(1)
    if not zones:
        setattr(Language, "memory_zone", lambda self, mem=None: nullcontext())  # noqa: B010
    report = annotate_files(Job(pipeline), [source], output)
    assert report.finished
    time.sleep(0.5)  # for the last sample of its memory


def documents_done(output: Path) -> int:
    """RETURNS (int): Number of documents of the finished shards."""
    path = output / "progress.jsonl"
    lines = path.read_bytes().splitlines() if path.exists() else []
    return sum(json.loads(line)["documents"] for line in lines if line.endswith(b"}"))


def plot(ways: dict[str, dict[str, Any]]) -> "Figure":
    """Draw resident memory over documents, one line per way."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 3.6))
    panel = figure.subplots()
    for number, (name, way) in enumerate(ways.items()):
        samples: Sequence[tuple[int, float]] = way["samples"]
        done, mib = zip(*samples, strict=True)
        panel.plot(done, mib, color=f"C{number}", label=name)
    panel.set_ylim(bottom=0)
    panel.set_xlabel("documents")
    panel.set_ylabel("resident memory, MiB")
    panel.xaxis.set_major_formatter("{x:,.0f}")
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8, frameon=False)
    figure.tight_layout()
    return figure


if __name__ == "__main__":
    app()
