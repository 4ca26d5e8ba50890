"""Command `evaluate`: score a pipeline on gold documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from wasabi import msg

from ..evaluation.report.numbers import percent
from .inputs import load_inputs
from .options import BATCH_SIZE, CODE, COMPONENT, GPU_ID

if TYPE_CHECKING:
    from ..evaluation.evaluation import Evaluation


def evaluate_cli(
    pipeline: str = typer.Argument(..., help="Pipeline package or folder."),
    data: Path = typer.Argument(..., help="Gold documents: a .spacy file or a folder of them."),
    output: Path | None = typer.Option(None, "--output", "-o", help="JSON file for the metrics."),
    html: Path | None = typer.Option(
        None, "--html", help="HTML page with plots and the worst documents."
    ),
    gpu_id: int = GPU_ID,
    batch_size: int | None = BATCH_SIZE,
    component: str | None = COMPONENT,
    code: Path | None = CODE,
) -> None:
    """Score a pipeline's padellm_ner component on gold documents.

    Computes scores by string and by position, accuracy of the counts, mentions that are not in the
    text, calibration and speed, in a single run of the model. The keys of the JSON file are
    documented in spacy_padellm.evaluation.evaluation.
    """
    from spacy.cli._util import import_code

    import_code(code)
    for path in (output, html):
        _check_writable(path)
    if output is not None and html is not None and output.resolve() == html.resolve():
        msg.fail(f"--output and --html name the same file: {output}", "Name two files.", exits=1)
    try:
        evaluation = run(pipeline, data, gpu_id, batch_size, component)
    except (OSError, ValueError) as error:
        msg.fail(f"Can't evaluate '{pipeline}' on {data}", str(error), exits=1)
    print_metrics(evaluation.metrics)
    try:
        if output is not None:
            import srsly

            srsly.write_json(output, evaluation.metrics)
            msg.good(f"Wrote the metrics to {output}")
        if html is not None:
            from ..evaluation.report.page import report_html

            page = report_html(evaluation, data=str(data))
            html.write_text(page, encoding="utf8", errors="backslashreplace")  # odd paths
            msg.good(f"Wrote the page to {html}")
    except OSError as error:
        msg.fail("Can't write the results", str(error), exits=1)


def run(
    pipeline: str | Path,
    data: Path,
    gpu_id: int = -1,
    batch_size: int | None = None,
    component: str | None = None,
) -> Evaluation:
    """Load a pipeline and gold documents, and evaluate the pipeline.

    pipeline (str | Path): Package or folder.
    data (Path): A .spacy file or a folder of them.
    gpu_id (int): Index of the GPU; -1 keeps the device of the pipeline's config.
    batch_size (int | None): Documents per batch; None for that of the pipeline.
    component (str | None): Name of the component; None for the only one.
    RETURNS (Evaluation): Metrics and outcomes.
    RAISES (OSError): No such pipeline, base or data.
    RAISES (ValueError): No gold documents, no such component or GPU, or a document too long.
    """
    from ..evaluation.evaluation import evaluate
    from ..weights.progress import progress_bar

    nlp, ner, examples = load_inputs(pipeline, data, gpu_id, component)
    with progress_bar(len(examples), "docs", "Evaluating", progress=True) as bar:
        return evaluate(nlp, ner, examples, batch_size=batch_size, progress=bar.update)


def print_metrics(metrics: dict[str, Any]) -> None:
    """Print the main metrics as tables.

    metrics (dict[str, Any]): See `spacy_padellm.evaluation.evaluation`.
    """
    from ..evaluation.gold_limits import LIMITS

    counts, mentions = metrics["counts"], metrics["mentions"]
    spans = metrics["calibration"]["spans"]
    msg.table(
        {
            "padellm P, R, F": " ".join(percent(metrics[f"padellm_{kind}"]) for kind in "prf"),
            "ents P, R, F": " ".join(percent(metrics[f"ents_{kind}"]) for kind in "prf"),
            "Exact counts": f"{percent(counts['accuracy'])} of {counts['n_prompts']} prompts",
            "Too few, too many": f"{percent(counts['share_under'])}, "
            f"{percent(counts['share_over'])} of them",
            "Not in the text": f"{percent(mentions['unaligned']['not_in_text']['share'])} of "
            f"{mentions['said']} mentions",
            "Calibration error": f"{percent(spans['ece'])} over {spans['n']} spans",
            "Speed": f"{metrics['speed']['documents_per_second'] or 0:.1f} documents per second "
            f"on {metrics['model']['device']}",
        },
        title=metrics["model"]["pipeline"],
    )
    by_string, by_position = metrics["padellm_per_type"] or {}, metrics["ents_per_type"] or {}
    none = {"p": None, "r": None, "f": None}
    msg.table(
        [
            [
                label,
                *(percent(by_string.get(label, none)[kind]) for kind in "prf"),
                *(percent(by_position.get(label, none)[kind]) for kind in "prf"),
            ]
            for label in sorted(by_string.keys() | by_position.keys())
        ],
        header=["", *(f"padellm {k}" for k in "PRF"), *(f"ents {k}" for k in "PRF")],
        aligns=("l", *"rrrrrr"),
    )
    for key, n in metrics["data"]["limits"].items():
        if n:
            msg.warn(f"{LIMITS[key]}: {n}")
    for label in metrics["data"]["labels_not_asked"]:
        msg.warn(f"The label {label!r} of the gold documents is no label of the component")


def _check_writable(path: Path | None) -> None:
    """Exit before the evaluation if an output can't be written."""
    if path is None:
        return
    if path.is_dir():
        msg.fail(f"Can't write to {path}: it is a folder", "Name a file.", exits=1)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg.fail(f"Can't make the folder {path.parent}", str(error), exits=1)
