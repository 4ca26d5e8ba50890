"""Plots of growth.py: one panel per measure, one line per contender."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import srsly
from wasabi import msg

from .contenders import CONTENDERS
from .results import RESULTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AXIS_NAMES = {
    "labels": "labels",
    "mentions": "mentions",
    "tokens": "tokens of the text",
    "batch": "documents of a batch",
}
MEASURES = {
    "ms": "latency, ms a document",
    "documents_per_s": "documents a second",
    "peak_gib": "peak memory above the weights, GiB",
}
PLOTS = Path(__file__).parents[2] / "docs" / "plots"


def write_plots(name: str) -> None:
    """Draw results of growth.py, one file per axis: docs/plots/growth-MODEL-DEVICE-AXIS.svg.

    name (str): Name of the results.
    """
    figures = srsly.read_json(RESULTS / f"{name}.json")["figures"]
    for axis, points in figures["axes"].items():
        path = PLOTS / f"{name.replace('/', '-')}-{axis}.svg"
        plot(axis, points).savefig(path, bbox_inches="tight", metadata={"Date": None})
        msg.info(f"Wrote {path}")


def plot(axis: str, points: Sequence[Mapping[str, Any]]) -> "Figure":
    """Draw the figures along an axis: one panel per measure, one line per contender.

    axis (str): A field of `growth.Size`.
    points (Sequence[Mapping[str, Any]]): Figures that `growth.measure` returns.
    RETURNS (Figure): matplotlib's figure; both scales are logarithmic, with 0 on the x axis.
    """
    from matplotlib.figure import Figure

    known = [name for name in MEASURES if any(point[name] is not None for point in points)]
    figure = Figure(figsize=(4.6 * len(known), 3.6))
    panels = figure.subplots(1, len(known), squeeze=False)[0]
    measured = {point["contender"] for point in points}
    names = [contender.name for contender in CONTENDERS if contender.name in measured]
    for panel, measure_name in zip(panels, known, strict=True):
        for number, name in enumerate(names):
            line = [point for point in points if point["contender"] == name]
            panel.plot(
                [point["at"] for point in line],
                [point[measure_name] for point in line],
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
        panel.set_xlabel(AXIS_NAMES[axis])
        panel.set_title(MEASURES[measure_name], fontsize=10)
        panel.grid(alpha=0.3)
    panels[0].legend(fontsize=8, frameon=False)
    figure.tight_layout()
    return figure
