"""Tables of what `quality.py train` measured.

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
from results import RESULTS

Figures = dict[str, Any]
SETS = ("conll03", "resume", "weibo", "wikigold", "wnut17", "btc")
WAYS = ("padellm", "struct", "aug", "ner")

app = typer.Typer(help=__doc__, no_args_is_help=True)


@app.command()
def sets(folder: Path = RESULTS / "quality", measure: str = "padellm_f") -> None:
    """Print a row a set and a column a way: the test set by the decoder that was best on dev."""
    runs = read(folder)
    _print(["set", *WAYS], ["---", *["---:"] * len(WAYS)])
    means: dict[str, list[float]] = {way: [] for way in WAYS}
    for name in SETS:
        row = [name]
        for way in WAYS:
            found = values(runs.get((name, way, ""), []), "test", measure)
            row.append(spread(found))
            means[way] += [statistics.mean(found)] if found else []
        _print(row)
    _print(
        ["mean", *(spread([statistics.mean(found)] if found else []) for found in means.values())]
    )


@app.command()
def levers(folder: Path = RESULTS / "quality", name: str = "conll03") -> None:
    """Print a row a variant of the parallel way on one set: dev and test, seed 0 alone."""
    _print(["variant", "dev", "test", "exact counts", "decoder"], ["---", *["---:"] * 3, "---"])
    for (one, way, variant), seeds in read(folder).items():
        if (one, way) == (name, "padellm"):
            first = [run for run in seeds if run["seed"] == 0]
            row = [spread(values(first, split, "padellm_f")) for split in ("dev", "test")]
            row.append(spread(values(first, "test", "count_accuracy")))
            _print([variant or "recipe", *row, *(run["decoder"] for run in first)])


@app.command()
def runs(folder: Path = RESULTS / "quality") -> None:
    """Print all that was measured, a row a set, way and variant: means over seeds."""
    measures = (
        ("dev", "padellm_f"),
        ("test", "padellm_f"),
        ("test", "ents_f"),
        ("test", "count_accuracy"),
        ("test", "not_in_text"),
    )
    header = ["set", "way", "variant", "seeds", *(" ".join(one) for one in measures), "decoder"]
    _print(header, ["---"] * len(header))
    for (name, way, variant), seeds in read(folder).items():
        row = [spread(values(seeds, *measure)) for measure in measures]
        decoders = "; ".join(sorted({one["decoder"] for one in seeds}))
        _print([name, way, variant, str(len(seeds)), *row, decoders])


def read(folder: Path) -> dict[tuple[str, str, str], list[Figures]]:
    """RETURNS (dict[tuple[str, str, str], list[dict]]): For each set, way and variant its seeds."""
    found: dict[tuple[str, str, str], list[Figures]] = {}
    for path in sorted(folder.glob("*.json")):
        one = srsly.read_json(path)["figures"]
        found.setdefault((one["set"], one["method"], one["variant"]), []).append(tuned(one))
    return found


def tuned(one: Figures) -> Figures:
    """RETURNS (dict): Scores of dev and test by the decoder that was best on dev."""
    plain = {"seed": one["seed"], "decoder": "", "dev": one["dev"], "test": one.get("test", {})}
    if "test_tried" not in one:
        return plain
    chosen = one["test_tried"]["decoder"]
    dev = one["dev_tried"][chosen]
    if dev["padellm_f"] <= one["dev"]["padellm_f"]:
        return plain
    return {"seed": one["seed"], "decoder": chosen, "dev": dev, "test": one["test_tried"]}


def values(seeds: Iterable[Figures], split: str, measure: str) -> list[float]:
    """RETURNS (list[float]): A measure in percent, of each seed that has it."""
    found = (one[split].get(measure) for one in seeds)
    return [100 * value for value in found if value is not None]


def spread(found: list[float]) -> str:
    """RETURNS (str): Mean, and standard deviation where there are several."""
    if not found:
        return ""
    deviation = f" ± {statistics.stdev(found):.1f}" if len(found) > 1 else ""
    return f"{statistics.mean(found):.1f}{deviation}"


def _print(*rows: list[str]) -> None:
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    app()
