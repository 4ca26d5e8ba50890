"""Command `tune`: choose `count_slack` and `threshold` on gold documents."""

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
    """What is to be highest."""

    padellm_f = "padellm_f"
    ents_f = "ents_f"


def tune_cli(
    pipeline: str = typer.Argument(..., help="Pipeline package or folder."),
    data: Path = typer.Argument(..., help="Gold documents, not those that it was trained on."),
    output: Path | None = typer.Option(
        None, "--output", "-o", help="Folder for the pipeline with the best settings."
    ),
    json: Path | None = typer.Option(None, "--json", help="JSON file for all that was tried."),
    measure: Measure = typer.Option(Measure.padellm_f, help="What is to be highest."),
    gpu_id: int = GPU_ID,
    batch_size: int | None = BATCH_SIZE,
    component: str | None = COMPONENT,
    code: Path | None = CODE,
) -> None:
    """Trade precision for recall: try hedged counts (decoder.count_slack) and the least probability
    of an entity (threshold) together, and show what each comes to.
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
    found = best(trials, measure.value)
    print_trials(trials, found, measure.value)
    try:
        if json is not None:
            import srsly

            json.parent.mkdir(parents=True, exist_ok=True)
            srsly.write_json(json, [vars(trial) for trial in trials])
            msg.good(f"Wrote all that was tried to {json}")
        if output is not None:
            apply(nlp, ner, found)
            nlp.to_disk(output)
            msg.good(f"Wrote the pipeline with these settings to {output}")
    except OSError as error:
        msg.fail("Can't write the results", str(error), exits=1)


def print_trials(trials: list[Trial], found: Trial, measure: str) -> None:
    """Print, for each slack, its best threshold and what both come to.

    trials (list[Trial]): All that was tried.
    found (Trial): The best.
    measure (str): What is to be highest.
    """
    from ..evaluation.tuning import best

    rows = []
    measures = [f"{way}_{kind}" for way in ("padellm", "ents") for kind in "prf"]
    for slack in dict.fromkeys(trial.count_slack for trial in trials):
        own = [trial for trial in trials if trial.count_slack == slack]
        first, highest = own[0], best(own, measure)
        for one in (first,) if highest is first else (first, highest):
            scores = [percent(one.scores[name]) for name in measures]
            rows.append((_shown(slack), one.threshold, *scores))
    header = ["count_slack", "threshold", *(f"padellm {k}" for k in "PRF")]
    msg.table(rows, header=[*header, *(f"ents {k}" for k in "PRF")], aligns=("r",) * 8)
    msg.good(
        f"Best {measure} {percent(found.scores[measure])}: decoder.count_slack = "
        f"{_shown(found.count_slack)}, threshold = {found.threshold}"
    )


def _shown(slack: float | None) -> str:
    return "null" if slack is None else str(slack)
