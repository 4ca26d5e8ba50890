"""Command `tune`: select `count_slack` and `threshold` on gold documents."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from wasabi import msg

from ..evaluation.report.numbers import percent
from .inputs import load_inputs
from .options import BATCH_SIZE, CODE, COMPONENT, GPU_ID

if TYPE_CHECKING:
    from ..evaluation.tuning import Trial


class Measure(str, Enum):
    """The score to maximize."""

    padellm_f = "padellm_f"
    ents_f = "ents_f"


def tune_cli(
    pipeline: str = typer.Argument(..., help="Pipeline package or folder."),
    data: Path = typer.Argument(..., help="Gold documents other than the training documents."),
    output: Path | None = typer.Option(
        None, "--output", "-o", help="Folder for the pipeline with the best settings."
    ),
    json: Path | None = typer.Option(
        None, "--json", help="JSON file for the scores of all settings."
    ),
    measure: Measure = typer.Option(Measure.padellm_f, help="Score to maximize."),
    gpu_id: int = GPU_ID,
    batch_size: int | None = BATCH_SIZE,
    component: str | None = COMPONENT,
    code: Path | None = CODE,
) -> None:
    """Trade precision for recall: score all pairs of decoder.count_slack (hedged counts) and
    threshold (the minimum probability of an entity), and print the best.
    """
    from spacy.cli._util import import_code

    import_code(code)
    if output is not None and output.exists() and (not output.is_dir() or any(output.iterdir())):
        msg.fail(f"There is something at {output}", "Give a new or an empty folder.", exits=1)
    try:
        from ..evaluation.tuning import SLACKS, THRESHOLDS, apply, best, tune
        from ..weights.progress import progress_bar

        nlp, ner, examples = load_inputs(pipeline, data, gpu_id, component)
        total = len(examples) * len(SLACKS)
        with progress_bar(total, "docs", "Tuning", progress=True) as bar:
            trials = tune(nlp, ner, examples, SLACKS, THRESHOLDS, batch_size, bar.update)
    except (OSError, ValueError) as error:
        msg.fail(f"Can't tune '{pipeline}' on {data}", str(error), exits=1)
    best_trial = best(trials, measure.value)
    print_trials(trials, best_trial, measure.value)
    try:
        if json is not None:
            import srsly

            json.parent.mkdir(parents=True, exist_ok=True)
            srsly.write_json(json, [vars(trial) for trial in trials])
            msg.good(f"Wrote the scores of all settings to {json}")
        if output is not None:
            apply(nlp, ner, best_trial)
            nlp.to_disk(output)
            msg.good(f"Wrote the pipeline with these settings to {output}")
    except OSError as error:
        msg.fail("Can't write the results", str(error), exits=1)


def print_trials(trials: list[Trial], best_trial: Trial, measure: str) -> None:
    """Print, for each slack, the scores of the first and of the best threshold.

    trials (list[Trial]): All trials.
    best_trial (Trial): The best trial.
    measure (str): The score to maximize.
    """
    from ..evaluation.tuning import best

    rows = []
    measures = [f"{way}_{kind}" for way in ("padellm", "ents") for kind in "prf"]
    for slack in dict.fromkeys(trial.count_slack for trial in trials):
        slack_trials = [trial for trial in trials if trial.count_slack == slack]
        first, highest = slack_trials[0], best(slack_trials, measure)
        for trial in (first,) if highest is first else (first, highest):
            scores = [percent(trial.scores[name]) for name in measures]
            rows.append((_config_value(slack), trial.threshold, *scores))
    header = ["count_slack", "threshold", *(f"padellm {k}" for k in "PRF")]
    msg.table(rows, header=[*header, *(f"ents {k}" for k in "PRF")], aligns=("r",) * 8)
    msg.good(
        f"Best {measure} {percent(best_trial.scores[measure])}: decoder.count_slack = "
        f"{_config_value(best_trial.count_slack)}, threshold = {best_trial.threshold}"
    )


def _config_value(slack: float | None) -> str:
    return "null" if slack is None else str(slack)
