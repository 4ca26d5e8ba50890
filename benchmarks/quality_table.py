"""Tables of the results of `quality.py train`.

Figures: docs/quality.md, "Decoders and spaCy's `ner` on one base".

python benchmarks/quality.py table sets
python benchmarks/quality.py table levers
python benchmarks/quality.py table runs
"""

import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import srsly
import typer
from harness.results import RESULTS

Figures = dict[str, Any]
SETS = ("conll03", "resume", "weibo", "wikigold", "wnut17", "btc")
WAYS = ("padellm", "struct", "aug", "ner")

app = typer.Typer(help=__doc__, no_args_is_help=True)


@app.command()
def sets(folder: Path = RESULTS / "quality", measure: str = "padellm_f") -> None:
    """Print one row per set and one column per way: the test set by the decoder best on dev."""
    runs = read(folder)
    _print(["set", *WAYS], ["---", *["---:"] * len(WAYS)])
    means: dict[str, list[float]] = {way: [] for way in WAYS}
    others = {name for name, _, _ in runs} - set(SETS)
    for name in (*SETS, *sorted(others)):
        row = [name]
        for way in WAYS:
            scores = values(runs.get((name, way, ""), []), "test", measure)
            row.append(spread(scores))
            means[way] += [statistics.mean(scores)] if scores else []
        _print(row)
    _print(["mean", *(spread([statistics.mean(m)] if m else []) for m in means.values())])


@app.command()
def levers(folder: Path = RESULTS / "quality", name: str = "conll03") -> None:
    """Print one row per variant of the parallel way on one set: dev and test, seed 0 alone."""
    _print(["variant", "dev", "test", "exact counts", "decoder"], ["---", *["---:"] * 3, "---"])
    for (set_name, way, variant), seeds in read(folder).items():
        if (set_name, way) == (name, "padellm"):
            first = [run for run in seeds if run["seed"] == 0]
            row = [spread(values(first, split, "padellm_f")) for split in ("dev", "test")]
            row.append(spread(values(first, "test", "count_accuracy")))
            _print([variant or "recipe", *row, *(run["decoder"] for run in first)])


@app.command()
def runs(folder: Path = RESULTS / "quality") -> None:
    """Print all results, one row per set, way and variant: means over seeds."""
    measures = (
        ("dev", "padellm_f"),
        ("test", "padellm_f"),
        ("test", "ents_f"),
        ("test", "count_accuracy"),
        ("test", "not_in_text"),
    )
    header = [
        "set",
        "way",
        "variant",
        "seeds",
        *(" ".join(measure) for measure in measures),
        "decoder",
    ]
    _print(header, ["---"] * len(header))
    for (name, way, variant), seeds in read(folder).items():
        row = [spread(values(seeds, *measure)) for measure in measures]
        decoders = "; ".join(sorted({run["decoder"] for run in seeds}))
        _print([name, way, variant, str(len(seeds)), *row, decoders])


def read(folder: Path) -> dict[tuple[str, str, str], list[Figures]]:
    """RETURNS (dict[tuple[str, str, str], list[dict]]): Runs of all seeds by set, way, variant."""
    runs: dict[tuple[str, str, str], list[Figures]] = {}
    for path in sorted(folder.glob("*.json")):
        run = srsly.read_json(path)["figures"]
        runs.setdefault((run["set"], run["method"], run["variant"]), []).append(tuned(run))
    return runs


def tuned(run: Figures) -> Figures:
    """RETURNS (dict): Dev and test scores of a run, by the decoder that was best on dev."""
    plain = {"seed": run["seed"], "decoder": "", "dev": run["dev"], "test": run.get("test", {})}
    if "test_tried" not in run:
        return plain
    chosen = run["test_tried"]["decoder"]
    dev = run["dev_tried"][chosen]
    if dev["padellm_f"] <= run["dev"]["padellm_f"]:
        return plain
    return {"seed": run["seed"], "decoder": chosen, "dev": dev, "test": run["test_tried"]}


def values(seeds: Iterable[Figures], split: str, measure: str) -> list[float]:
    """RETURNS (list[float]): A measure in percent, of each seed that has it."""
    shares = (run[split].get(measure) for run in seeds)
    return [100 * share for share in shares if share is not None]


def spread(scores: list[float]) -> str:
    """RETURNS (str): Mean, and standard deviation if there are several scores."""
    if not scores:
        return ""
    deviation = f" ± {statistics.stdev(scores):.1f}" if len(scores) > 1 else ""
    return f"{statistics.mean(scores):.1f}{deviation}"


def _print(*rows: list[str]) -> None:
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    app()
