"""Quality of the parallel way, the two autoregressive ways and spaCy's own `ner`, on one base.

python benchmarks/quality.py train ../shared/data conll03 --method padellm --seed 0 --device cuda
python benchmarks/quality.py table sets
"""

import json
import os
import shutil
import tempfile
import time
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Any

import spacy
import typer
from corpora import SETS, write_corpora
from quality_table import app as table
from results import write_results
from spacy.language import Language
from spacy.training import Corpus
from spacy.training.initialize import init_nlp
from spacy.training.loop import train as train_loop
from spacy.util import load_config
from wasabi import msg

from spacy_padellm.pipeline.component import PadellmNER
from spacy_padellm.pipeline.scorer import ner_score

HERE = Path(__file__).parent
COMPONENT = "components.padellm_ner"


class Method(str, Enum):
    """A way of finding entities."""

    padellm = "padellm"
    struct = "struct"
    aug = "aug"
    ner = "ner"


DECODERS = {
    Method.padellm: "spacy-padellm.tree_decoder.v1",
    Method.struct: "spacy-padellm.autoregressive_struct_decoder.v1",
    Method.aug: "spacy-padellm.autoregressive_aug_decoder.v1",
}

app = typer.Typer(help=__doc__, no_args_is_help=True)
app.add_typer(table, name="table")


@app.command()
def train(
    data: Path,
    name: str,
    method: Method = Method.padellm,
    recipe: str = typer.Option("full", help="lora or full"),
    seed: int = 0,
    epochs: int = 5,
    batch_size: int = typer.Option(64, help="Documents of a batch"),
    more: list[str] = typer.Option([], help="Further sets whose training documents are added"),
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
) -> None:
    """Train on a set, choose the best epoch on dev, score dev and test."""
    lang, definitions = SETS[name]
    overrides = dict(_parsed(one) for one in setting)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        n_train = write_corpora(data, name, more, place, limit)
        steps = -(-n_train // batch_size)
        config = configuration(lang, method, recipe, definitions, base, device, place)
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
        config = config.merge(_nested(settings))
        (place / "out").mkdir()
        # spaCy's own components need CuPy for a GPU; `padellm_ner` is told its device.
        gpu = 0 if method is Method.ner and device != "cpu" else -1
        if gpu == 0:
            spacy.require_gpu(gpu)
        start = time.perf_counter()
        nlp = init_nlp(config.interpolate(), use_gpu=gpu)
        _skip_first_evaluation(nlp)
        train_loop(nlp, place / "out", use_gpu=gpu)
        seconds = time.perf_counter() - start
        del nlp
        best = spacy.load(place / "out" / "model-best")
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
            "dev": score(best, place / "dev.spacy"),
        }
        if variation:
            plain = decoder_of(best)
            found = {}
            for one in variation:
                set_decoder(best, replace(plain, **dict(_parsed(s) for s in one.split(","))))
                found[one] = score(best, place / "dev.spacy")
                msg.info(f"{one} dev: {_line(found[one])}")
            figures["dev_tried"] = found
            chosen = max(found, key=lambda one: found[one]["padellm_f"])
            if test:
                set_decoder(best, replace(plain, **dict(_parsed(s) for s in chosen.split(","))))
                tried = score(best, place / "test.spacy")
                figures["test_tried"] = {"decoder": chosen, **tried}
            set_decoder(best, plain)
        if comparison:
            plain = decoder_of(best)
            figures["compared"] = {}
            for one in comparison:
                set_decoder(best, replace(plain, **dict(_parsed(s) for s in one.split(","))))
                figures["compared"][one] = {
                    split: score(best, place / f"{split}.spacy") for split in ("dev", "test")
                }
                msg.info(f"{one} test: {_line(figures['compared'][one]['test'])}")
            set_decoder(best, plain)
        if test:
            figures["test"] = score(best, place / "test.spacy")
    run = "-".join(filter(None, [name, method.value, variant, f"seed{seed}"]))
    write_results(f"quality/{run}", figures, device=device)
    for split in ("dev", "test", "test_tried"):
        if split in figures:
            msg.info(f"{run} {split}: " + _line(figures[split]))


def configuration(
    lang: str,
    method: Method,
    recipe: str,
    definitions: dict[str, str],
    base: str,
    device: str,
    place: Path,
) -> Any:
    """RETURNS (Config): A recipe of this project, or that of spaCy's `ner`, not interpolated."""
    paths = {"paths.train": str(place / "train.spacy"), "paths.dev": str(place / "dev.spacy")}
    if method is Method.ner:
        config = load_config(HERE / "spacy_ner.cfg")
        folder = str(_without_vocab_file(base, place / "base"))
        return config.merge(_nested({**paths, "nlp.lang": lang, "paths.base": folder}))
    config = load_config(HERE.parent / "configs" / f"{lang}_{recipe}.cfg")
    bounds = config["components"]["padellm_ner"]["decoder"]
    config["components"]["padellm_ner"]["decoder"] = {**bounds, "@misc": DECODERS[method]}
    config["components"]["padellm_ner"]["prompt"]["label_definitions"] = definitions
    settings: dict[str, Any] = {
        **paths,
        "paths.labels": str(place / "labels.json"),
        "paths.base": base,
        f"{COMPONENT}.model.device": device,
    }
    for split in ("train", "dev"):
        settings[f"corpora.{split}.gold_preproc"] = True
    return config.merge(_nested(settings))


def _without_vocab_file(base: str, place: Path) -> Path:
    """The base with a tokenizer class that has no `vocab_file`, which spacy-transformers opens."""
    from spacy_padellm.weights.resolver import resolve_weights

    shutil.copytree(resolve_weights(base).folder, place, copy_function=os.symlink)
    path = place / "tokenizer_config.json"
    settings = json.loads(path.read_text("utf8"))
    path.unlink()
    path.write_text(json.dumps({**settings, "tokenizer_class": "PreTrainedTokenizerFast"}), "utf8")
    return place


def _skip_first_evaluation(nlp: Language) -> None:
    """spaCy evaluates before it has trained; an untrained model's answers are long and void."""
    evaluate = nlp.evaluate
    first = {f"{kind}_{one}": 0.0 for kind in ("padellm", "ents") for one in ("p", "r", "f")}

    def skip(*args: Any, **kwargs: Any) -> dict[str, Any]:
        nlp.evaluate = evaluate  # type: ignore[method-assign]
        return {**first, "speed": 0.0}

    nlp.evaluate = skip  # type: ignore[method-assign]


def decoder_of(nlp: Language) -> Any:
    """RETURNS (Decoder): The decoder of a pipeline's `padellm_ner`."""
    return nlp.get_pipe("padellm_ner").decoder  # type: ignore[attr-defined]


def set_decoder(nlp: Language, decoder: Any) -> None:
    """Let a pipeline's `padellm_ner` decode in another way."""
    nlp.get_pipe("padellm_ner").decoder = decoder  # type: ignore[attr-defined]


def score(nlp: Language, path: Path) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): Scores of a pipeline on a corpus, in [0, 1]."""
    examples = list(Corpus(path, gold_preproc=True)(nlp))
    if "padellm_ner" not in nlp.pipe_names:
        found = nlp.pipe(eg.predicted for eg in examples)
        for eg, doc in zip(examples, found, strict=True):
            eg.predicted = doc
        return _plain(ner_score(examples))
    from spacy_padellm.evaluation.evaluation import evaluate

    component = nlp.get_pipe("padellm_ner")
    assert isinstance(component, PadellmNER)
    metrics = evaluate(nlp, component, examples, batch_size=512).metrics
    counts, mentions = metrics["counts"], metrics["mentions"]
    return {
        **_plain(metrics),
        "count_accuracy": counts["accuracy"],
        "share_under": counts["share_under"],
        "share_over": counts["share_over"],
        "not_in_text": mentions["unaligned"]["not_in_text"]["share"],
        "ece": metrics["calibration"]["ents"]["ece"],
        "seconds": metrics["speed"]["seconds"],
    }


def _plain(scores: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{kind}_{measure}": scores[f"{kind}_{measure}"]
        for kind in ("padellm", "ents")
        for measure in ("p", "r", "f")
    }


def _line(scores: dict[str, Any]) -> str:
    return "  ".join(
        f"{key} {100 * value:.2f}"
        for key, value in scores.items()
        if isinstance(value, float) and key != "seconds"
    )


def _parsed(setting: str) -> tuple[str, Any]:
    key, _, value = setting.partition("=")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def _nested(settings: dict[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in settings.items():
        *sections, last = key.split(".")
        at = nested
        for section in sections:
            at = at.setdefault(section, {})
        at[last] = value
    return nested


if __name__ == "__main__":
    app()
