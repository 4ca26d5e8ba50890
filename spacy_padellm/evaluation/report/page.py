"""One self-contained HTML page of an evaluation. What comes from data is escaped, and the page's
own policy lets nothing run and nothing load."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from ..evaluation import LIMITS, REASONS, Evaluation
from .documents import document_html, worst
from .figures import confusion_figure, labels_figure, reliability_figure
from .numbers import MISSING, decimal, percent
from .theme import STYLE

N_WORST = 10
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def report_html(evaluation: Evaluation, *, data: str, n_worst: int = N_WORST) -> str:
    """Lay an evaluation out as a page.

    evaluation (Evaluation): The results.
    data (str): What to call the gold documents, such as their path.
    n_worst (int): How many of the worst documents to show.
    RETURNS (str): A whole HTML document that refers to nothing outside of itself.
    """
    metrics = evaluation.metrics
    model = metrics["model"]
    title = f"{model['pipeline']} on {data}"
    parts = [
        f"<h1>{escape(model['pipeline'])}</h1>",
        f'<p class="muted">{metrics["data"]["documents"]} documents, {metrics["data"]["words"]} '
        f"tokens of {escape(data)}, evaluated with component {escape(model['component'])}</p>",
        _tiles(metrics),
        _scores(metrics),
        _counts(metrics["counts"]),
        _mentions(metrics["mentions"]),
        _calibration(metrics["calibration"]),
        _documents(evaluation, n_worst),
        _provenance(metrics),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _tiles(metrics: Mapping[str, Any]) -> str:
    tiles = {
        "padellm_f: label and string": percent(metrics["padellm_f"]),
        "ents_f: label and position": percent(metrics["ents_f"]),
        "counts that are exact": percent(metrics["counts"]["accuracy"]),
        "mentions not in the text": percent(
            metrics["mentions"]["unaligned"]["not_in_text"]["share"]
        ),
        "calibration error (ECE)": percent(metrics["calibration"]["spans"]["ece"]),
        "documents a second": decimal(metrics["speed"]["documents_per_second"]),
    }
    items = "".join(f"<li><b>{value}</b><span>{name}</span></li>" for name, value in tiles.items())
    return f'<ul class="tiles">{items}</ul>'


def _scores(metrics: Mapping[str, Any]) -> str:
    by_string = metrics["padellm_per_type"] or {}
    by_place = metrics["ents_per_type"] or {}
    mentions = metrics["data"]["mentions"]
    labels = sorted(
        by_string.keys() | by_place.keys(), key=lambda label: (-mentions.get(label, 0), label)
    )
    none = {"p": None, "r": None, "f": None}
    rows = [
        [
            label,
            str(mentions.get(label, 0)),
            *(percent(by_string.get(label, none)[kind]) for kind in "prf"),
            *(percent(by_place.get(label, none)[kind]) for kind in "prf"),
        ]
        for label in labels
    ]
    total = [
        "all",
        str(sum(mentions.values())),
        *(percent(metrics[f"padellm_{kind}"]) for kind in "prf"),
        *(percent(metrics[f"ents_{kind}"]) for kind in "prf"),
    ]
    heads = ["label", "gold", *(f"padellm_{k}" for k in "prf"), *(f"ents_{k}" for k in "prf")]
    pairs = {
        label: (by_string.get(label, none)["f"], by_place.get(label, none)["f"]) for label in labels
    }
    figure = f"<figure>{labels_figure(pairs)}</figure>" if pairs else ""
    return (
        "<h2>Scores</h2><p>padellm scores count, for each document, the set of pairs of label and "
        "mention string, as the paper does (arXiv 2402.04838); ents scores count labels and "
        f"positions, as spaCy does.</p>{_limits(metrics['data'])}"
        f"{figure}{_table(heads, [*rows, total])}"
    )


def _limits(data: Mapping[str, Any]) -> str:
    notes = [f"{LIMITS[key]}: {n}" for key, n in data["limits"].items() if n]
    if data["labels_not_asked"]:
        notes.append(
            "Labels of the gold documents that the component does not know, so that all their "
            f"mentions are missed: {', '.join(data['labels_not_asked'])}"
        )
    if not notes:
        return ""
    items = "".join(f"<li>{escape(note)}.</li>" for note in notes)
    return f'<p>What the gold documents leave open:</p><ul class="limits">{items}</ul>'


def _counts(counts: Mapping[str, Any]) -> str:
    keys = {
        "n_prompts": "prompts",
        "accuracy": "exact",
        "accuracy_present": "exact, gold > 0",
        "mean_under": "mean too few",
        "mean_over": "mean too many",
        "lost": "gold left out",
    }
    rows = [
        [label, *(_count_cell(key, scores[key]) for key in keys)]
        for label, scores in [*counts["per_label"].items(), ("all", counts)]
    ]
    if not counts["n_prompts"]:
        return "<h2>Counts</h2><p>There are no counts to compare.</p>"
    return (
        "<h2>Counts</h2><p>One prompt a document (or window of a long one) and label asks how many "
        "mentions there are. "
        "“Gold left out” is the share of gold mentions that too small a count leaves no room for."
        '</p><div class="columns uneven"><figure>'
        f"{confusion_figure(counts['confusion'])}<figcaption>Number of prompts; shades are shares "
        f"of a row.</figcaption></figure>{_table(['label', *keys.values()], rows)}</div>"
    )


def _count_cell(key: str, value: float | None) -> str:
    if key == "n_prompts":
        return str(value)
    return decimal(value) if key.startswith("mean") else percent(value)


def _mentions(mentions: Mapping[str, Any]) -> str:
    rows = [
        [REASONS[key], str(entry["n"]), percent(entry["share"])]
        for key, entry in mentions["unaligned"].items()
    ]
    faults = ""
    if mentions["malformed"] or mentions["unended"]:
        faults = (
            f" Besides, {mentions['malformed']} parts of answers were malformed, and "
            f"{mentions['unended']} answers were cut off."
        )
    return (
        f"<h2>Mentions without a place</h2><p>The decoder said {mentions['said']} mentions. Those "
        f"that have no place in the text are left out.{faults}</p>"
        f"{_table(['reason', 'mentions', 'share of those said'], rows)}"
    )


def _calibration(calibration: Mapping[str, Any]) -> str:
    if not calibration["spans"]["n"]:
        return "<h2>Calibration</h2><p>There are no spans to judge.</p>"
    rows = [
        [
            f"{part['low']:.2f}–{part['high']:.2f}",
            str(part["n"]),
            decimal(part["probability"], 3),
            decimal(part["accuracy"], 3),
            "–".join(decimal(bound) for bound in part["interval"] or ()) or MISSING,
        ]
        for part in calibration["spans"]["bins"]
    ]
    sums = [
        [name, str(part["n"]), percent(part["ece"]), decimal(part["brier"], 3)]
        for name, part in (
            ("all scored spans", calibration["spans"]),
            ("entities", calibration["ents"]),
        )
    ]
    heads = ["probability", "spans", "mean", "right", "95% interval"]
    return (
        "<h2>Calibration</h2><p>Spans are sorted by probability into "
        f"{len(rows)} intervals of equal width. The expected calibration error (ECE) is the "
        "distance of mean probability and share of right spans, averaged over the intervals with "
        "their numbers of spans as weights; the Brier score is the mean squared distance of "
        "probability and outcome. Few spans leave the share uncertain, as its 95% interval "
        "(Wilson) tells, and lift the ECE above 0 even where probabilities are "
        'perfect.</p><div class="columns uneven"><figure>'
        f"{reliability_figure(calibration['spans'])}<figcaption>All scored spans. Bars: share "
        "right; dots: at their mean probability, with 95% intervals; dashes: perfect calibration."
        f"</figcaption></figure><div>{_table(['', 'number', 'ECE', 'Brier'], sums)}<br>"
        f"{_table(heads, rows)}</div></div>"
    )


def _documents(evaluation: Evaluation, n: int) -> str:
    chosen = worst(evaluation.outcomes, n)
    faulty = sum(1 for outcome in evaluation.outcomes if outcome.n_errors)
    labels = evaluation.metrics["model"]["labels"]
    if not chosen:
        return (
            f"<h2>Worst documents</h2><p>None of {len(evaluation.outcomes)} documents has missed "
            "or wrong entities.</p>"
        )
    shown = "".join(document_html(number, outcome, labels) for number, outcome in chosen)
    return (
        f"<h2>Worst documents</h2><p>{faulty} of {len(evaluation.outcomes)} documents have missed "
        f"or wrong entities. Shown are {len(chosen)}, most errors first. A dashed frame is a gold "
        f"entity that was missed, a solid one a predicted entity that is wrong.</p>{shown}"
    )


def _provenance(metrics: Mapping[str, Any]) -> str:
    model = {key: _plain(value) for key, value in metrics["model"].items()}
    rows = [*model.items(), *((name, _plain(it)) for name, it in metrics["versions"].items())]
    return f"<h2>Model and versions</h2>{_table(['', ''], rows, kind='words')}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "numbers") -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heads) if any(heads) else ""
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return MISSING if value is None else str(value)
