"""Plots of growth.py: one panel a measure, one line a way.

python benchmarks/growth_plot.py growth/adapter-cuda
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import srsly
import typer
from contenders import CONTENDERS
from results import RESULTS
from wasabi import msg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORDS = {"labels": "labels", "mentions": "mentions", "tokens": "tokens of the text"}
WORDS["batch"] = "documents of a batch"
MEASURES = {
    "ms": "latency, ms a document",
    "documents_per_s": "documents a second",
    "peak_gib": "peak memory above the weights, GiB",
}
PLOTS = Path(__file__).parents[1] / "docs" / "plots"


def write_plots(name: str) -> None:
    """Draw results of growth.py, a file an axis: docs/plots/growth-MODEL-DEVICE-AXIS.svg.

    name (str): Of the results.
    """
    figures = srsly.read_json(RESULTS / f"{name}.json")["figures"]
    for axis, points in figures["axes"].items():
        path = PLOTS / f"{name.replace('/', '-')}-{axis}.svg"
        plot(axis, points).savefig(path, bbox_inches="tight", metadata={"Date": None})
        msg.info(f"Wrote {path}")


def plot(axis: str, points: Sequence[Mapping[str, Any]]) -> "Figure":
    """Draw what was measured along an axis: one panel a measure, one line a contender.

    axis (str): A field of Size.
    points (Sequence[Mapping[str, Any]]): As `measure` gives them.
    RETURNS (Figure): Of matplotlib; both scales are logarithmic, 0 has a place of its own.
    """
    from matplotlib.figure import Figure

    known = [one for one in MEASURES if any(point[one] is not None for point in points)]
    figure = Figure(figsize=(4.6 * len(known), 3.6))
    panels = figure.subplots(1, len(known), squeeze=False)[0]
    names = [one.name for one in CONTENDERS if any(p["contender"] == one.name for p in points)]
    for panel, measure_name in zip(panels, known, strict=True):
        for number, name in enumerate(names):
            found = [point for point in points if point["contender"] == name]
            panel.plot(
                [point["at"] for point in found],
                [point[measure_name] for point in found],
                color=f"C{number}",
                marker="osD^vPX*"[number % 8],
                markersize=4,
                label=name,
            )
        if any(point["at"] == 0 for point in points):
            panel.set_xscale("symlog", base=2, linthresh=1)
        else:
            panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.set_xticks(sorted({point["at"] for point in points}))
        panel.xaxis.set_major_formatter("{x:g}")
        panel.minorticks_off()
        panel.set_xlabel(WORDS[axis])
        panel.set_title(MEASURES[measure_name], fontsize=10)
        panel.grid(alpha=0.3)
    panels[0].legend(fontsize=8, frameon=False)
    figure.tight_layout()
    return figure


if __name__ == "__main__":
    typer.run(write_plots)
