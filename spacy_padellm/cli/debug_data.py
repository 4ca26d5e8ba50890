"""Command `debug-data`: what the corpora of a training config hold for this component."""

from pathlib import Path
from typing import TYPE_CHECKING

import srsly
import typer
from spacy.cli._util import import_code, parse_config_overrides, show_validation_error
from wasabi import msg

from ..weights.progress import progress_bar

if TYPE_CHECKING:
    from ..corpus.diagnosis import Diagnosis
    from ..corpus.statistics import CorpusStatistics

SHOWN_COUNTS = 6
OVERRIDES = {"allow_extra_args": True, "ignore_unknown_options": True}


def debug_data_cli(
    ctx: typer.Context,
    config_path: Path = typer.Argument(
        ..., metavar="CONFIG", help="Path to the config file.", exists=True, allow_dash=True
    ),
    json_path: Path | None = typer.Option(
        None, "--json", "-j", help="Where to write all numbers as JSON.", dir_okay=False
    ),
    code_path: Path | None = typer.Option(
        None, "--code", "-c", help="Python file with further registered functions."
    ),
    component: str | None = typer.Option(
        None, "--component", help="The component's name, where the pipeline has several."
    ),
    limit: int = typer.Option(
        0, "--limit", "-n", min=0, help="Most documents of a corpus to read; 0 reads all."
    ),
) -> None:
    """Look at the corpora of a training config: labels, counts, prompt trees, memory, and gold that
    can't be learnt or found. It reads the tokenizer and no weights.

    Further arguments override the config, as in `spacy train`: --paths.train corpus/train.spacy
    """
    overrides = parse_config_overrides(ctx.args)
    import_code(code_path)
    try:
        diagnosis = _diagnose(config_path, overrides, component, limit)
    except (ImportError, OSError, ValueError) as error:
        msg.fail(f"The corpora of {config_path} can't be looked at", str(error), exits=1)
    if limit:
        msg.info(f"Of each corpus the first {limit} documents at most")
    show(diagnosis)
    if json_path is not None:
        json_path.parent.mkdir(parents=True, exist_ok=True)
        srsly.write_json(json_path, diagnosis.to_dict())
        msg.good(f"All numbers written to {json_path}")


def _diagnose(config_path: Path, overrides: dict, component: str | None, limit: int) -> "Diagnosis":
    from spacy import util

    from ..corpus.diagnosis import diagnose, read_training
    from ..pipeline.loading import find_component

    with show_validation_error(config_path):
        config = util.load_config(config_path, overrides=overrides, interpolate=False)
        nlp = util.load_model_from_config(config, auto_fill=True)
        ner = find_component(nlp, component)
        training = read_training(nlp.config.interpolate(), ner.name)
    with progress_bar(0, " documents", "reading", progress=True) as bar:
        return diagnose(nlp, ner, training, limit=limit, saw=bar.update)


def show(diagnosis: "Diagnosis") -> None:
    """Print a diagnosis.

    diagnosis (Diagnosis): What was found.
    """
    for name, corpus in (("train", diagnosis.train), ("dev", diagnosis.dev)):
        msg.divider(f"Corpus: {name}")
        _show_corpus(corpus)
    msg.divider("Labels")
    _show_labels(diagnosis)
    msg.divider("Prompt trees")
    _show_trees(diagnosis)
    msg.divider("Training batches")
    _show_batches(diagnosis)
    msg.divider("Checks")
    _show_checks(diagnosis)


def _show_corpus(corpus: "CorpusStatistics") -> None:
    per_document = corpus.mentions / corpus.documents if corpus.documents else 0.0
    rows = {
        "Documents": corpus.documents,
        "spaCy tokens": corpus.tokens,
        "Mentions": corpus.mentions,
        "Mentions a document": f"{per_document:.2f}, at most "
        f"{max(corpus.mentions_per_document, default=0)}",
        "Documents without mentions": corpus.mentions_per_document[0],
    }
    for reason, number in corpus.no_tree.items():
        rows[f"No tree: {reason}"] = number
    for key, group in corpus.groups.items():
        rows[f"doc.spans[{key!r}]"] = (
            f"{group.spans}, {group.overlapping} overlapping, {group.not_in_ents} not in doc.ents"
        )
    msg.table(rows)


def _show_labels(diagnosis: "Diagnosis") -> None:
    header = ["Label", "Train", "Docs", "Dev", "Docs", "Count prompts of train that say 0, 1, …"]
    names = [*diagnosis.labels, *diagnosis.not_asked]
    rows = []
    for name in names:
        train, dev = diagnosis.train.labels.get(name), diagnosis.dev.labels.get(name)
        counts = train.counts if train else {}
        shown = [str(counts.get(number, 0)) for number in range(SHOWN_COUNTS)]
        more = sum(n for number, n in counts.items() if number >= SHOWN_COUNTS)
        rows.append(
            [
                name,
                train.mentions if train else 0,
                train.documents if train else 0,
                dev.mentions if dev else 0,
                dev.documents if dev else 0,
                f"{' '.join(shown)}, {SHOWN_COUNTS} or more: {more}" if counts else "not asked",
            ]
        )
    msg.table(rows, header=header, divider=True, aligns=("l", "r", "r", "r", "r", "l"))


def _show_trees(diagnosis: "Diagnosis") -> None:
    header = ["Corpus", "Trees", "Cut", "Tokens", "Sequences", "Their tokens", "Ratio"]
    corpora = {"train": diagnosis.train_trees, "dev": diagnosis.dev_trees}
    rows = [
        [
            name,
            trees.trees,
            trees.cut,
            trees.tokens,
            trees.sequences,
            trees.sequence_tokens,
            f"{trees.ratio:.2f}",
        ]
        for name, trees in corpora.items()
    ]
    msg.table(rows, header=header, divider=True, aligns=("l", *"rrrrrr"))
    msg.text("Trees: one a document, or a window of one that is cut (window_tokens, get_spans).")
    msg.text("Sequences: the paper's, one a label and one a mention, the text in each.")
    longest = sorted(diagnosis.train_trees.longest, reverse=True)
    header = ["Longest: tokens", "Positions", "Labels", "Mentions", "Text"]
    msg.table(longest, header=header, divider=True, aligns=(*"rrrr", "l"))


def _show_batches(diagnosis: "Diagnosis") -> None:
    from ..corpus.batches import FORMULA

    shape = diagnosis.shape
    msg.table(
        {
            "Batches an epoch": diagnosis.batches.batches,
            "Parameters": f"{shape.parameters}, trained: {shape.trained}",
        }
    )
    names = list(next(iter(diagnosis.memory.values())))
    rows = []
    for device, passes in diagnosis.batches.passes.items():
        memory = diagnosis.memory[device]
        sizes = (passes.passes, passes.tokens, passes.targets)
        rows.append([device, *sizes, *(f"{memory[name] / 1e9:.2f}" for name in names)])
    titles = [name.replace("_", " ") for name in names]
    header = ["On a", "Passes", "Largest: tokens", "Targets", f"GB: {titles[0]}", *titles[1:]]
    msg.table(rows, header=header, divider=True, aligns=("l", *"r" * (len(header) - 1)))
    msg.text(f"Estimate of the largest pass: {FORMULA}.")


def _show_checks(diagnosis: "Diagnosis") -> None:
    warnings = [*_label_warnings(diagnosis), *_gold_warnings(diagnosis)]
    for warning in warnings:
        msg.warn(*warning)
    if not warnings:
        msg.good("Nothing to warn of")


def _label_warnings(diagnosis: "Diagnosis") -> list[tuple[str, str]]:
    found = []
    if diagnosis.only_in_dev:
        found.append((f"Labels in dev that train has not: {diagnosis.only_in_dev}", ""))
    if diagnosis.not_asked:
        found.append(
            (
                f"Labels that are not asked for: {diagnosis.not_asked}",
                "Their mentions are neither learnt nor found. Add them to the component's labels.",
            )
        )
    if diagnosis.without_mentions:
        found.append((f"Labels without a mention in train: {diagnosis.without_mentions}", ""))
    return found


def _gold_warnings(diagnosis: "Diagnosis") -> list[tuple[str, str]]:
    found = []
    corpora = {
        "train": (diagnosis.train, diagnosis.train_trees),
        "dev": (diagnosis.dev, diagnosis.dev_trees),
    }
    for name, (corpus, trees) in corpora.items():
        if not corpus.documents:
            found.append((f"{name} has no documents", ""))
        if corpus.no_tree:
            reasons = ", ".join(f"{number} x {reason}" for reason, number in corpus.no_tree.items())
            found.append((f"{name}: {corpus.no_tree.total()} documents give no tree", reasons))
        if corpus.misaligned:
            found.append(
                (
                    f"{name}: {corpus.misaligned} mentions start or end inside a token",
                    "Predicted spans have whole tokens, so ents_f can't count these. "
                    + "; ".join(corpus.misaligned_shown),
                )
            )
        if trees.too_long:
            found.append(
                (
                    f"{name}: {trees.too_long} documents or windows need more than the model's "
                    f"{trees.window} positions",
                    "Training stops at one. Lower window_tokens. "
                    + "; ".join(trees.too_long_shown),
                )
            )
        if trees.in_no_window:
            found.append(
                (
                    f"{name}: {trees.in_no_window} mentions lie whole in no window",
                    "They are not learnt. Let windows overlap more (window_overlap, get_spans).",
                )
            )
        if trees.long_mentions:
            found.append(
                (
                    f"{name}: {trees.long_mentions} mentions have more than "
                    f"{trees.max_mention_tokens} tokens",
                    "The decoder's max_mention_tokens cuts them off.",
                )
            )
        if corpus.repeated:
            found.append((f"{name}: {corpus.repeated} documents repeat the text of another", ""))
        for key, group in corpus.groups.items():
            if group.not_in_ents:
                found.append(
                    (
                        f"{name}: {group.not_in_ents} of doc.spans[{key!r}] are not in doc.ents",
                        f"They are not learnt. {group.overlapping} overlap others of the group.",
                    )
                )
    if diagnosis.duplicates:
        found.append((f"{diagnosis.duplicates} texts are in both train and dev", ""))
    if diagnosis.batches.discarded:
        found.append(
            (
                f"The batcher leaves out {diagnosis.batches.discarded} documents of train",
                "They are longer than its batches and discard_oversize is true.",
            )
        )
    if diagnosis.above_max_count:
        found.append(
            (
                f"dev: {diagnosis.above_max_count} labels of documents have more than "
                f"{diagnosis.max_count} mentions",
                "The decoder's max_count cuts them off.",
            )
        )
    return found
