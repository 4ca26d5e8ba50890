"""Scores of the parallel way, the two autoregressive ways and spaCy's own `ner`, on one base.

Figures: docs/quality.md, "Decoders and spaCy's `ner` on one base" and "Counts";
results/quality/*.json.

python benchmarks/quality.py train ../shared/data conll03 --method padellm --seed 0 --device cuda
python benchmarks/quality.py table sets
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import spacy
import typer
from harness.datasets import SPLITS, Dataset, find_dataset
from harness.pipelines import component_of
from harness.quality_config import Method, configuration, nested, parse_setting
from harness.results import write_results
from harness.training_corpora import write_corpora
from quality_table import app as table
from spacy.language import Language
from spacy.training import Corpus
from spacy.training.initialize import init_nlp
from spacy.training.loop import train as train_loop
from wasabi import msg

from spacy_padellm.pipeline.scorer import ner_score

app = typer.Typer(help=__doc__, no_args_is_help=True)
app.add_typer(table, name="table")


@app.command()
def train(
    data: Path = typer.Argument(..., help="Folder of datasets, or the dataset's own folder"),
    name: str = typer.Argument(..., help="Name of the dataset"),
    method: Method = Method.padellm,
    recipe: str = typer.Option("full", help="lora or full"),
    seed: int = 0,
    epochs: int = 5,
    batch_size: int = typer.Option(64, help="Documents of a batch"),
    more: list[str] = typer.Option([], help="Further datasets whose training documents are added"),
    setting: list[str] = typer.Option([], "--set", help="section.key=value of the config"),
    variant: str = typer.Option("", help="Name of these settings in the results"),
    base: str = "smollm2-135m",
    device: str = "cpu",
    limit: int = typer.Option(0, help="Documents of each split; 0 for all"),
    evaluations: int = typer.Option(5, help="Evaluations on dev, at even distances"),
    variation: list[str] = typer.Option(
        [], "--try", help="Settings of the decoder, chosen on dev: key=value,key=value"
    ),
    comparison: list[str] = typer.Option(
        [], "--compare", help="Settings of the decoder, scored on dev and test but never chosen"
    ),
    test: bool = typer.Option(True, help="Score the test set too, not the dev set alone"),
    lang: str | None = typer.Option(None, help="spaCy's code of the texts' language"),
) -> None:
    """Train on a dataset, choose the best epoch on dev, score dev and test."""
    dataset = with_splits(find_dataset(data, name, lang))
    further = [find_dataset(data, other, lang) for other in more]
    overrides = dict(parse_setting(text) for text in setting)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        n_train = write_corpora(dataset, further, folder, limit)
        steps = -(-n_train // batch_size)
        settings = {
            "system.seed": seed,
            # By steps, not by epochs, so that the last step is evaluated.
            "training.max_epochs": 0,
            "training.max_steps": epochs * steps,
            "training.eval_frequency": -(-epochs * steps // evaluations),
            "training.patience": 0,
            "training.batcher.size": batch_size,
            "training.optimizer.learn_rate.total_steps": epochs * steps,
            **overrides,
        }
        config = configuration(dataset, method, recipe, base, device, folder)
        seconds = train_pipeline(config.merge(nested(settings)), method, device, folder / "out")
        best = spacy.load(folder / "out" / "model-best")
        figures: dict[str, Any] = {
            "set": name,
            "method": method.value,
            "recipe": recipe,
            "variant": variant,
            "seed": seed,
            "epochs": epochs,
            "batch_size": batch_size,
            "more": more,
            "settings": overrides,
            "training_seconds": round(seconds, 1),
            "dev": score(best, folder / "dev.spacy"),
        }
        if variation:
            figures |= score_variations(best, folder, variation, test=test)
        if comparison:
            figures["compared"] = score_comparisons(best, folder, comparison)
        if test:
            figures["test"] = score(best, folder / "test.spacy")
    run = "-".join(filter(None, [name, method.value, variant, f"seed{seed}"]))
    write_results(f"quality/{run}", figures, device=device)
    for split in ("dev", "test", "test_tried"):
        if split in figures:
            msg.info(f"{run} {split}: " + _line(figures[split]))


def with_splits(dataset: Dataset) -> Dataset:
    """RETURNS (Dataset): The dataset; exit with a message if it lacks one of its three splits."""
    missing = [split for split in SPLITS if not dataset.has_splits or not dataset.files(split)]
    if missing:
        msg.fail(
            f"{dataset.path} lacks {', '.join(f'{split}.jsonl' for split in missing)}",
            "Training needs a folder with train.jsonl, dev.jsonl and test.jsonl.",
            exits=1,
        )
    return dataset


def train_pipeline(config: Any, method: Method, device: str, output: Path) -> float:
    """Train a pipeline as `spacy train` does.

    config (Config): The training config.
    method (Method): The way of finding entities.
    device (str): torch's name of the device.
    output (Path): Folder of the trained pipeline.
    RETURNS (float): Seconds.
    """
    output.mkdir(parents=True)
    # spaCy's own components need CuPy for a GPU; the device of `padellm_ner` is in its config.
    gpu = 0 if method is Method.ner and device != "cpu" else -1
    if gpu == 0:
        spacy.require_gpu(gpu)
    start = time.perf_counter()
    nlp = init_nlp(config.interpolate(), use_gpu=gpu)
    _skip_first_evaluation(nlp)
    train_loop(nlp, output, use_gpu=gpu)
    return time.perf_counter() - start


def _skip_first_evaluation(nlp: Language) -> None:
    """Skip spaCy's evaluation before training: an untrained model's answers are long."""
    evaluate = nlp.evaluate
    first = {f"{kind}_{measure}": 0.0 for kind in ("padellm", "ents") for measure in "prf"}

    def skip(*args: Any, **kwargs: Any) -> dict[str, Any]:
        nlp.evaluate = evaluate  # type: ignore[method-assign]
        return {**first, "speed": 0.0}

    nlp.evaluate = skip  # type: ignore[method-assign]


@contextmanager
def decoder_settings(nlp: Language, settings: str) -> Iterator[None]:
    """Replace settings of the decoder (key=value,key=value) in a with block."""
    component = component_of(nlp)
    decoder: Any = component.decoder
    changes = dict(parse_setting(setting) for setting in settings.split(","))
    component.decoder = replace(decoder, **changes)
    try:
        yield
    finally:
        component.decoder = decoder


def score_variations(
    nlp: Language, folder: Path, variations: Sequence[str], *, test: bool
) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): Dev scores of decoder settings, and test scores of the best."""
    dev: dict[str, Any] = {}
    for settings in variations:
        with decoder_settings(nlp, settings):
            dev[settings] = score(nlp, folder / "dev.spacy")
        msg.info(f"{settings} dev: {_line(dev[settings])}")
    figures: dict[str, Any] = {"dev_tried": dev}
    if test:
        best = max(dev, key=lambda settings: dev[settings]["padellm_f"])
        with decoder_settings(nlp, best):
            figures["test_tried"] = {"decoder": best, **score(nlp, folder / "test.spacy")}
    return figures


def score_comparisons(nlp: Language, folder: Path, comparisons: Sequence[str]) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): Dev and test scores of decoder settings."""
    scores: dict[str, Any] = {}
    for settings in comparisons:
        with decoder_settings(nlp, settings):
            scores[settings] = {
                split: score(nlp, folder / f"{split}.spacy") for split in ("dev", "test")
            }
        msg.info(f"{settings} test: {_line(scores[settings]['test'])}")
    return scores


def score(nlp: Language, path: Path) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): Scores of a pipeline on a corpus, in [0, 1]."""
    examples = list(Corpus(path, gold_preproc=True)(nlp))
    if "padellm_ner" not in nlp.pipe_names:
        docs = nlp.pipe(eg.predicted for eg in examples)
        for eg, doc in zip(examples, docs, strict=True):
            eg.predicted = doc
        return _entity_scores(ner_score(examples))
    from spacy_padellm.evaluation.evaluation import evaluate

    metrics = evaluate(nlp, component_of(nlp), examples, batch_size=512).metrics
    counts, mentions = metrics["counts"], metrics["mentions"]
    return {
        **_entity_scores(metrics),
        "count_accuracy": counts["accuracy"],
        "share_under": counts["share_under"],
        "share_over": counts["share_over"],
        "not_in_text": mentions["unaligned"]["not_in_text"]["share"],
        "ece": metrics["calibration"]["ents"]["ece"],
        "seconds": metrics["speed"]["seconds"],
    }


def _entity_scores(scores: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{kind}_{measure}": scores[f"{kind}_{measure}"]
        for kind in ("padellm", "ents")
        for measure in "prf"
    }


def _line(scores: dict[str, Any]) -> str:
    return "  ".join(
        f"{key} {100 * value:.2f}"
        for key, value in scores.items()
        if isinstance(value, float) and key != "seconds"
    )


if __name__ == "__main__":
    app()
