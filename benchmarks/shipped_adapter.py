"""The shipped adapter: its corpus, the adapter out of a trained pipeline, its scores.

Figures: docs/quality.md, "The shipped adapter" (`evaluate`) and "Counts" (`slack`);
results/shipped_adapter.json, results/shipped_slack.json.

python benchmarks/shipped_adapter.py corpus ../shared/data build/shipped
python -m spacy train configs/shipped_adapter.cfg --output build/shipped/trained \\
    --components.padellm_ner.model.device cuda
python benchmarks/shipped_adapter.py export build/shipped/trained/model-best assets/adapter
python benchmarks/shipped_adapter.py evaluate ../shared/data
python benchmarks/shipped_adapter.py slack ../shared/data
"""

import random
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import spacy
import srsly
import typer
from harness.datasets import Dataset, find_dataset, find_datasets
from harness.gold_docs import drop_unannotated, to_adapter_doc, without_annotation
from harness.label_names import ADAPTER_LABELS
from harness.options import Data, Lang, Sets
from harness.pipelines import CONFIG, component_of, set_labels
from harness.results import write_results
from spacy.language import Language
from spacy.tokens import DocBin
from spacy.training import Example
from wasabi import msg

from spacy_padellm.pipeline.scorer import ner_score

COPIES = {"wikigold": 2, "btc": 1, "wnut17": 1}  # wikigold is the smallest, with the most labels
KEPT_EMPTY = 0.4  # share of training documents without an entity; most tweets have none
DEV_DOCS = 300  # of each dataset, so that an evaluation during training stays short
SHOWN = ("padellm_p", "padellm_r", "padellm_f", "ents_f")

app = typer.Typer(help=__doc__, no_args_is_help=True)


@app.command()
def corpus(data: Path, output: Path, seed: int = 0) -> None:
    """Write train.spacy (each document as it is or in natural spacing, at random; a part of those
    without entities) and dev.spacy, of the three datasets that the adapter is trained on."""
    chance = random.Random(seed)
    vocab = spacy.blank("en").vocab
    datasets = [find_dataset(data, name) for name in COPIES]
    train = [
        to_adapter_doc(record, ADAPTER_LABELS[dataset.name], vocab, natural=chance.random() < 0.5)
        for dataset in datasets
        for record in list(dataset.records("train")) * COPIES[dataset.name]
        if record["spans"] or chance.random() < KEPT_EMPTY
    ]
    dev = []
    for dataset in datasets:
        records = list(dataset.records("dev"))
        chance.shuffle(records)
        labels = ADAPTER_LABELS[dataset.name]
        dev += [to_adapter_doc(record, labels, vocab) for record in records[:DEV_DOCS]]
    output.mkdir(parents=True, exist_ok=True)
    for split, docs in (("train", train), ("dev", dev)):
        DocBin(docs=docs, store_user_data=True).to_disk(output / f"{split}.spacy")
        msg.good(f"{output / split}.spacy: {len(docs)} documents")


@app.command()
def export(
    pipeline: Path, output: Path, component: str = "padellm_ner", base: str = "smollm2-135m"
) -> None:
    """Write the adapter of a trained pipeline in bfloat16, which halves its size."""
    import torch
    from safetensors.torch import load_file, save_file

    model = pipeline / component / "model"
    weights = load_file(model / "adapter_model.safetensors")
    output.mkdir(parents=True, exist_ok=True)
    half = {name: tensor.to(torch.bfloat16) for name, tensor in weights.items()}
    save_file(half, output / "adapter_model.safetensors", metadata={"format": "pt"})
    for name in ("adapter_config.json", "base.json"):
        facts = srsly.read_json(model / name)
        facts.update({"name": base} if name == "base.json" else {"base_model_name_or_path": base})
        srsly.write_json(output / name, facts)
    msg.good(f"{output}: {sum(path.stat().st_size for path in output.iterdir()):,} bytes")


Adapter = Annotated[Path, typer.Option(help="The adapter's folder")]
Base = Annotated[str, typer.Option(help="Base of the adapter")]
OtherDevice = Annotated[str | None, typer.Option(help="torch's name of the device")]
BatchSize = Annotated[int, typer.Option(help="Batch size of nlp.pipe")]


@app.command()
def evaluate(
    data: Data,
    adapter: Adapter = Path("assets/adapter"),
    config: Path = CONFIG,
    base: Base = "smollm2-135m",
    device: OtherDevice = None,
    batch_size: BatchSize = 128,
    name: Annotated[str, typer.Option(help="Name of the results")] = "shipped_adapter",
    split: Annotated[str, typer.Option(help="Split of the datasets")] = "test",
    sets: Sets = None,
    lang: Lang = None,
) -> None:
    """Score an adapter on datasets, in the sources' own tokens."""
    datasets = find_datasets(data, sets, tuple(COPIES), split=split, lang=lang)
    nlp = shipped(config, adapter, base, device)
    write_results(name, score_datasets(nlp, datasets, split, batch_size), device=device)


@app.command()
def slack(
    data: Data,
    adapter: Adapter = Path("assets/adapter"),
    config: Path = CONFIG,
    base: Base = "smollm2-135m",
    device: OtherDevice = None,
    batch_size: BatchSize = 128,
    name: Annotated[str, typer.Option(help="Name of the results")] = "shipped_slack",
    sets: Sets = None,
    lang: Lang = None,
) -> None:
    """Score an adapter on dev splits with each `decoder.count_slack`."""
    datasets = find_datasets(data, sets, tuple(COPIES), split="dev", lang=lang)
    nlp = shipped(config, adapter, base, device)
    ner = component_of(nlp)
    rows = []
    for value in (None, 0.4, 0.3, 0.2):
        msg.divider(f"count_slack {value}")
        ner.decoder = replace(ner.decoder, count_slack=value)
        scores = score_datasets(nlp, datasets, "dev", batch_size)
        rows.append({"count_slack": value, "dev": scores})
    write_results(name, {"rows": rows}, device=device)


def shipped(config: Path, adapter: Path, base: str, device: str | None) -> Language:
    """RETURNS (Language): The pipeline of a config with an adapter."""
    overrides = {
        "paths.adapter": str(adapter),
        "components.padellm_ner.model.name": base,
        "components.padellm_ner.model.device": device,
    }
    return spacy.util.load_model_from_config(
        spacy.util.load_config(config, overrides=overrides), auto_fill=True
    )


def score_datasets(
    nlp: Language, datasets: Sequence[Dataset], split: str, batch_size: int
) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): Scores of each dataset, its number of documents and seconds."""
    figures: dict[str, Any] = {}
    for dataset in datasets:
        labels = set_labels(nlp, dataset, split)
        gold = [
            to_adapter_doc(record, labels, nlp.vocab, lang=dataset.lang)
            for record in dataset.records(split)
        ]
        examples = [Example(without_annotation(doc), doc) for doc in gold]
        for label in set(component_of(nlp).labels) - set(labels.values()):
            msg.info(f"{dataset.name} is not annotated for {label!r}, which is not counted")
        start = time.perf_counter()
        predicted = nlp.pipe([eg.predicted for eg in examples], batch_size=batch_size)
        for eg, doc in zip(examples, predicted, strict=True):
            eg.predicted = drop_unannotated(doc, eg.reference)
        seconds = time.perf_counter() - start
        scores = ner_score(examples)
        figures[dataset.name] = {**scores, "documents": len(gold), "seconds": round(seconds, 2)}
        shown = ", ".join(f"{key} {100 * scores[key]:.2f}" for key in SHOWN)
        msg.good(f"{dataset.name}: {shown}")
    return figures


if __name__ == "__main__":
    app()
