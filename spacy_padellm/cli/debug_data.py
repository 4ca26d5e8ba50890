"""Command `debug-data`: print statistics of the corpora of a training config."""

from __future__ import annotations

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

PRINTED_COUNTS = 6
OVERRIDES = {"allow_extra_args": True, "ignore_unknown_options": True}


def debug_data_cli(
    ctx: typer.Context,
    config_path: Path = typer.Argument(
        ..., metavar="CONFIG", help="Path to the config file.", exists=True, allow_dash=True
    ),
    json_path: Path | None = typer.Option(
        None, "--json", "-j", help="JSON file for all numbers.", dir_okay=False
    ),
    code_path: Path | None = typer.Option(
        None, "--code", "-c", help="Python file with registered functions of the config."
    ),
    component: str | None = typer.Option(
        None, "--component", help="Name of the padellm_ner component, if the pipeline has several."
    ),
    limit: int = typer.Option(
        0, "--limit", "-n", min=0, help="Maximum documents to read per corpus; 0 reads all."
    ),
) -> None:
    """Print statistics of the corpora of a training config: labels, counts, prompt trees, memory,
    and gold annotation that can't be learnt or found. No weights are loaded.

    Further arguments override the config, as in `spacy train`: --paths.train corpus/train.spacy
    """
    overrides = parse_config_overrides(ctx.args)
    import_code(code_path)
    try:
        diagnosis = _diagnose(config_path, overrides, component, limit)
    except (ImportError, OSError, ValueError) as error:
        msg.fail(f"Can't read the corpora of {config_path}", str(error), exits=1)
    if limit:
        msg.info(f"Only the first {limit} documents of each corpus are read")
    print_diagnosis(diagnosis)
    if json_path is not None:
        json_path.parent.mkdir(parents=True, exist_ok=True)
        srsly.write_json(json_path, diagnosis.to_dict())
        msg.good(f"All numbers written to {json_path}")


def _diagnose(config_path: Path, overrides: dict, component: str | None, limit: int) -> Diagnosis:
    from spacy import util

    from ..corpus.diagnosis import diagnose
    from ..corpus.training_config import read_training_config
    from ..pipeline.loading import find_component

    with show_validation_error(config_path):
        config = util.load_config(config_path, overrides=overrides, interpolate=False)
        nlp = util.load_model_from_config(config, auto_fill=True)
        ner = find_component(nlp, component)
        training = read_training_config(nlp.config.interpolate(), ner.name)
    with progress_bar(0, " documents", "reading", progress=True) as bar:
        return diagnose(nlp, ner, training, limit=limit, on_document=bar.update)


def print_diagnosis(diagnosis: Diagnosis) -> None:
    """Print statistics and warnings.

    diagnosis (Diagnosis): The statistics.
    """
    for name, corpus in (("train", diagnosis.train), ("dev", diagnosis.dev)):
        msg.divider(f"Corpus: {name}")
        _print_corpus(corpus)
    msg.divider("Labels")
    _print_labels(diagnosis)
    msg.divider("Prompt trees")
    _print_trees(diagnosis)
    msg.divider("Training batches")
    _print_batches(diagnosis)
    msg.divider("Checks")
    _print_checks(diagnosis)


def _print_corpus(corpus: CorpusStatistics) -> None:
    from .corpus_warnings import no_tree_reasons

    per_document = corpus.mentions / corpus.documents if corpus.documents else 0.0
    rows = {
        "Documents": corpus.documents,
        "spaCy tokens": corpus.tokens,
        "Mentions": corpus.mentions,
        "Mentions per document": f"{per_document:.2f}, at most "
        f"{max(corpus.mentions_per_document, default=0)}",
        "Documents without mentions": corpus.mentions_per_document[0],
    }
    for reason, number in no_tree_reasons(corpus).items():
        rows[f"No tree: {reason}"] = number
    for key, group in corpus.groups.items():
        rows[f"doc.spans[{key!r}]"] = (
            f"{group.spans}, {group.overlapping} overlapping, {group.not_in_ents} not in doc.ents"
        )
    msg.table(rows)


def _print_labels(diagnosis: Diagnosis) -> None:
    header = [
        "Label",
        "Train",
        "Docs",
        "Dev",
        "Docs",
        "Count prompts of train by gold count 0, 1, …",
    ]
    names = [*diagnosis.labels, *diagnosis.unknown_labels]
    rows = []
    for name in names:
        train, dev = diagnosis.train.labels.get(name), diagnosis.dev.labels.get(name)
        counts = train.counts if train else {}
        by_count = [str(counts.get(count, 0)) for count in range(PRINTED_COUNTS)]
        more = sum(n for count, n in counts.items() if count >= PRINTED_COUNTS)
        rows.append(
            [
                name,
                train.mentions if train else 0,
                train.documents if train else 0,
                dev.mentions if dev else 0,
                dev.documents if dev else 0,
                f"{' '.join(by_count)}, {PRINTED_COUNTS} or more: {more}"
                if counts
                else "no prompts",
            ]
        )
    msg.table(rows, header=header, divider=True, aligns=("l", "r", "r", "r", "r", "l"))


def _print_trees(diagnosis: Diagnosis) -> None:
    header = ["Corpus", "Trees", "Split", "Tokens", "Sequences", "Their tokens", "Ratio"]
    corpora = {"train": diagnosis.train_trees, "dev": diagnosis.dev_trees}
    rows = [
        [
            name,
            trees.trees,
            trees.split_documents,
            trees.tokens,
            trees.sequences,
            trees.sequence_tokens,
            f"{trees.ratio:.2f}",
        ]
        for name, trees in corpora.items()
    ]
    msg.table(rows, header=header, divider=True, aligns=("l", *"rrrrrr"))
    msg.text(
        "Trees: one per document, or per window of a split document (window_tokens, get_spans)."
    )
    msg.text(
        "Sequences: those of the paper, one per label and one per mention, each with the text."
    )
    longest = sorted(diagnosis.train_trees.longest, reverse=True)
    header = ["Longest: tokens", "Positions", "Labels", "Mentions", "Text"]
    msg.table(longest, header=header, divider=True, aligns=(*"rrrr", "l"))


def _print_batches(diagnosis: Diagnosis) -> None:
    from ..corpus.memory_estimate import FORMULA

    msg.table(
        {
            "Batches per epoch": diagnosis.batches.n_batches,
            "Parameters": f"{diagnosis.size.parameters}, trained: {diagnosis.size.trained}",
        }
    )
    names = list(next(iter(diagnosis.memory.values())))
    rows = []
    for device, passes in diagnosis.batches.passes.items():
        memory = diagnosis.memory[device]
        sizes = (passes.n_passes, passes.tokens, passes.targets)
        rows.append([device, *sizes, *(f"{memory[name] / 1e9:.2f}" for name in names)])
    titles = [name.replace("_", " ") for name in names]
    header = ["Device", "Passes", "Largest: tokens", "Targets", f"GB: {titles[0]}", *titles[1:]]
    msg.table(rows, header=header, divider=True, aligns=("l", *"r" * (len(header) - 1)))
    msg.text(f"Estimate of the largest pass: {FORMULA}.")


def _print_checks(diagnosis: Diagnosis) -> None:
    from .corpus_warnings import corpus_warnings

    warnings = list(corpus_warnings(diagnosis))
    for title, text in warnings:
        msg.warn(title, text)
    if not warnings:
        msg.good("No warnings")
