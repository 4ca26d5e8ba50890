"""Figures of the report: SVG by matplotlib in data URIs, for light and for dark screens."""

from __future__ import annotations

import warnings
from base64 import b64encode
from collections.abc import Callable
from functools import partial
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any

from .numbers import percent
from .theme import DARK, LIGHT, Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Draw = Callable[["Figure", Theme], None]
SMALL = 9  # points
LabelScores = dict[str, tuple[float | None, float | None]]


def reliability_figure(calibration: dict[str, Any]) -> str:
    """Draw the reliability diagram: share of right spans by probability.

    calibration (dict[str, Any]): Return value of `Calibration.to_dict`.
    RETURNS (str): An HTML element.
    """
    return _picture(partial(_reliability, calibration), (5.4, 5.0), "Reliability diagram")


def confusion_figure(confusion: dict[str, Any]) -> str:
    """Draw the confusion matrix of counts, shaded by the share of each row.

    confusion (dict[str, Any]): "confusion" of `count_scores`.
    RETURNS (str): An HTML element.
    """
    return _picture(partial(_confusion, confusion), (5.4, 5.0), "Confusion matrix of counts")


def labels_figure(scores: LabelScores) -> str:
    """Draw padellm_f and ents_f of each label as bars.

    scores (dict[str, tuple[float | None, float | None]]): padellm_f and ents_f by label, in [0, 1];
        None if the label has no cases.
    RETURNS (str): An HTML element.
    """
    size = (6.6, 1.0 + 0.5 * max(1, len(scores)))
    return _picture(partial(_labels, scores), size, "F-scores of each label")


def _reliability(calibration: dict[str, Any], figure: Figure, theme: Theme) -> None:
    bins = [bin_ for bin_ in calibration["bins"] if bin_["n"]]
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=[3.6, 1])
    top.plot([0, 1], [0, 1], color=theme.muted, linestyle=(0, (4, 3)), linewidth=1.2, zorder=2)
    centres = [(bin_["low"] + bin_["high"]) / 2 for bin_ in bins]
    widths = [(bin_["high"] - bin_["low"]) * 0.92 for bin_ in bins]
    accuracies = [bin_["accuracy"] for bin_ in bins]
    top.bar(centres, accuracies, widths, color=theme.first, alpha=0.55, zorder=1)
    low = [bin_["accuracy"] - bin_["interval"][0] for bin_ in bins]
    high = [bin_["interval"][1] - bin_["accuracy"] for bin_ in bins]
    means = [bin_["probability"] for bin_ in bins]
    top.errorbar(means, accuracies, (low, high), fmt="o", color=theme.second, capsize=2, zorder=3)
    top.set(xlim=(0, 1), ylim=(0, 1.03), ylabel="share of right spans")
    below.bar(centres, [bin_["n"] for bin_ in bins], widths, color=theme.muted, alpha=0.7)
    for centre, bin_ in zip(centres, bins, strict=True):
        below.annotate(
            str(bin_["n"]),
            (centre, bin_["n"]),
            (0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=SMALL,
        )
    below.set(xlabel="probability of the span", ylabel="spans")
    below.margins(y=0.35)


def _confusion(confusion: dict[str, Any], figure: Figure, theme: Theme) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    matrix, cap = confusion["gold_by_said"], confusion["cap"]
    shares = [[number / max(1, sum(row)) for number in row] for row in matrix]
    colours = LinearSegmentedColormap.from_list("shares", [theme.page, theme.first])
    axes = figure.subplots()
    centres = range(cap + 1)
    axes.pcolormesh(centres, centres, shares, cmap=colours, vmin=0, vmax=1, shading="nearest")
    axes.set_aspect("equal")
    axes.invert_yaxis()  # 0 on top, as in a table
    for gold, row in enumerate(matrix):
        for predicted, number in enumerate(row):
            colour = theme.page if shares[gold][predicted] > 0.55 else theme.text
            if number:
                axes.text(predicted, gold, str(number), ha="center", va="center", color=colour)
    ticks = [*map(str, range(cap)), f"{cap}+"]
    axes.set_xticks(centres, ticks)
    axes.set_yticks(centres, ticks)
    axes.set(xlabel="predicted count", ylabel="gold count")
    axes.tick_params(length=0)


def _labels(scores: LabelScores, figure: Figure, theme: Theme) -> None:
    axes = figure.subplots()
    for offset, kind, name, colour in (
        (-0.19, 0, "padellm_f (label and string)", theme.first),
        (0.19, 1, "ents_f (label and position)", theme.second),
    ):
        centres = [row + offset for row in range(len(scores))]
        values = [pair[kind] for pair in scores.values()]
        lengths = [value or 0.0 for value in values]
        axes.barh(centres, lengths, 0.36, color=colour, label=name)
        for centre, length, value in zip(centres, lengths, values, strict=True):
            axes.text(length + 0.01, centre, percent(value), va="center", fontsize=SMALL)
    axes.set_yticks(range(len(scores)), [_shorten(label) for label in scores])
    axes.set(xlim=(0, 1.13), xticks=[0, 0.25, 0.5, 0.75, 1], ylim=(max(1, len(scores)) - 0.5, -0.5))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    figure.legend(loc="outside upper left", ncols=2, frameon=False)


def _shorten(label: str, width: int = 24) -> str:
    # SVG is XML, which has no control characters. The table shows the label unchanged.
    label = "".join(char if char.isprintable() else "\ufffd" for char in label)
    return label if len(label) <= width else label[: width - 1] + "…"


def _picture(draw: Draw, size: tuple[float, float], alt: str) -> str:
    light, dark = (_data_uri(_svg(draw, size, theme)) for theme in (LIGHT, DARK))
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{escape(alt)}"></picture>'
    )


def _svg(draw: Draw, size: tuple[float, float], theme: Theme) -> bytes:
    """RETURNS (bytes): The drawing as SVG, deterministic: no creator, no date, no random ids."""
    import matplotlib
    from matplotlib.figure import Figure

    settings: Any = {
        "svg.fonttype": "none",  # text, for the browser's fonts, which have more glyphs
        "svg.hashsalt": "spacy-padellm",
        "text.parse_math": False,  # a label may contain dollar signs
        "font.family": "sans-serif",
        "font.size": 11,
        "text.color": theme.text,
        "axes.labelcolor": theme.text,
        "axes.edgecolor": theme.line,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": theme.muted,
        "ytick.color": theme.muted,
        "xtick.labelcolor": theme.text,
        "ytick.labelcolor": theme.text,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
    }
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # matplotlib's font only measures the text; the browser draws it with its own fonts.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure = Figure(figsize=size, layout="constrained")
        draw(figure, theme)
        buffer = BytesIO()
        no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=no_metadata)
    return buffer.getvalue()


def _data_uri(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{b64encode(svg).decode('ascii')}"
