"""Self-contained HTML page of an evaluation. All strings from data are escaped, and the page's
Content-Security-Policy blocks scripts and external resources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from ..evaluation import Evaluation
from ..gold_limits import LIMITS
from ..mention_scores import REASONS
from .documents import document_html, worst
from .figures import confusion_figure, labels_figure, reliability_figure
from .numbers import MISSING, decimal, percent
from .theme import STYLE

N_WORST = 10
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def report_html(evaluation: Evaluation, *, data: str, n_worst: int = N_WORST) -> str:
    """Render an evaluation as an HTML page.

    evaluation (Evaluation): The results.
    data (str): Name of the gold documents, such as their path.
    n_worst (int): Maximum number of documents with errors to show.
    RETURNS (str): A whole HTML document without external resources.
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
        "exact counts": percent(metrics["counts"]["accuracy"]),
        "mentions not in the text": percent(
            metrics["mentions"]["unaligned"]["not_in_text"]["share"]
        ),
        "calibration error (ECE)": percent(metrics["calibration"]["spans"]["ece"]),
        "documents per second": decimal(metrics["speed"]["documents_per_second"]),
    }
    items = "".join(f"<li><b>{value}</b><span>{name}</span></li>" for name, value in tiles.items())
    return f'<ul class="tiles">{items}</ul>'


def _scores(metrics: Mapping[str, Any]) -> str:
    by_string = metrics["padellm_per_type"] or {}
    by_position = metrics["ents_per_type"] or {}
    mentions = metrics["data"]["mentions"]
    labels = sorted(
        by_string.keys() | by_position.keys(), key=lambda label: (-mentions.get(label, 0), label)
    )
    none = {"p": None, "r": None, "f": None}
    rows = [
        [
            label,
            str(mentions.get(label, 0)),
            *(percent(by_string.get(label, none)[kind]) for kind in "prf"),
            *(percent(by_position.get(label, none)[kind]) for kind in "prf"),
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
        label: (by_string.get(label, none)["f"], by_position.get(label, none)["f"])
        for label in labels
    }
    figure = f"<figure>{labels_figure(pairs)}</figure>" if pairs else ""
    return (
        "<h2>Scores</h2><p>padellm scores compare, for each document, the sets of pairs of label "
        "and mention string, as in the paper (arXiv 2402.04838); ents scores compare labels and "
        f"positions, as in spaCy.</p>{_limits(metrics['data'])}"
        f"{figure}{_table(heads, [*rows, total])}"
    )


def _limits(data: Mapping[str, Any]) -> str:
    notes = [f"{LIMITS[key]}: {n}" for key, n in data["limits"].items() if n]
    if data["labels_not_asked"]:
        notes.append(
            "Labels of the gold documents that the component does not have, so that all their "
            f"mentions are missed: {', '.join(data['labels_not_asked'])}"
        )
    if not notes:
        return ""
    items = "".join(f"<li>{escape(note)}.</li>" for note in notes)
    return f'<p>Limits of the gold annotation:</p><ul class="limits">{items}</ul>'


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
        "<h2>Counts</h2><p>One prompt per label and document (or window of a long document) "
        "generates the number of mentions. “Gold left out” is the share of gold mentions that "
        'exceed the predicted counts.</p><div class="columns uneven"><figure>'
        f"{confusion_figure(counts['confusion'])}<figcaption>Number of prompts; shades show the "
        f"share of each row.</figcaption></figure>{_table(['label', *keys.values()], rows)}</div>"
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
            f" In addition, {mentions['malformed']} parts of answers were malformed, and "
            f"{mentions['unended']} answers reached the length limit."
        )
    return (
        f"<h2>Unaligned mentions</h2><p>The decoder generated {mentions['said']} mentions. "
        f"Mentions that could not be aligned to the text are left out.{faults}</p>"
        f"{_table(['reason', 'mentions', 'share of generated mentions'], rows)}"
    )


def _calibration(calibration: Mapping[str, Any]) -> str:
    if not calibration["spans"]["n"]:
        return "<h2>Calibration</h2><p>There are no scored spans.</p>"
    rows = [
        [
            f"{bin_['low']:.2f}–{bin_['high']:.2f}",
            str(bin_["n"]),
            decimal(bin_["probability"], 3),
            decimal(bin_["accuracy"], 3),
            "–".join(decimal(bound) for bound in bin_["interval"] or ()) or MISSING,
        ]
        for bin_ in calibration["spans"]["bins"]
    ]
    sums = [
        [name, str(scores["n"]), percent(scores["ece"]), decimal(scores["brier"], 3)]
        for name, scores in (
            ("all scored spans", calibration["spans"]),
            ("entities", calibration["ents"]),
        )
    ]
    heads = ["probability", "spans", "mean", "right", "95% interval"]
    return (
        "<h2>Calibration</h2><p>Spans are sorted by probability into "
        f"{len(rows)} intervals of equal width. The expected calibration error (ECE) is the "
        "absolute difference of mean probability and share of right spans, averaged over the "
        "intervals and weighted by their numbers of spans; the Brier score is the mean squared "
        "difference of probability and outcome. With few spans the share is uncertain (see its "
        "95% Wilson interval), and the ECE is above 0 even if the probabilities are "
        'perfect.</p><div class="columns uneven"><figure>'
        f"{reliability_figure(calibration['spans'])}<figcaption>All scored spans. Bars: share "
        "of right spans; dots: the same at the mean probability, with 95% intervals; dashed line: "
        "perfect calibration."
        f"</figcaption></figure><div>{_table(['', 'number', 'ECE', 'Brier'], sums)}<br>"
        f"{_table(heads, rows)}</div></div>"
    )


def _documents(evaluation: Evaluation, n: int) -> str:
    chosen = worst(evaluation.outcomes, n)
    n_with_errors = sum(1 for outcome in evaluation.outcomes if outcome.n_errors)
    labels = evaluation.metrics["model"]["labels"]
    if not chosen:
        return (
            f"<h2>Worst documents</h2><p>None of {len(evaluation.outcomes)} documents has missed "
            "or wrong entities.</p>"
        )
    shown = "".join(document_html(number, outcome, labels) for number, outcome in chosen)
    return (
        f"<h2>Worst documents</h2><p>{n_with_errors} of {len(evaluation.outcomes)} documents have "
        f"missed or wrong entities. The {len(chosen)} with the most errors are shown. A dashed "
        "frame marks a missed gold entity, a solid frame a wrong predicted entity.</p>"
        f"{shown}"
    )


def _provenance(metrics: Mapping[str, Any]) -> str:
    model = {key: _plain(value) for key, value in metrics["model"].items()}
    versions = {name: _plain(version) for name, version in metrics["versions"].items()}
    rows = [*model.items(), *versions.items()]
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
